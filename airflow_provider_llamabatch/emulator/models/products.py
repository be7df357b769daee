"""The parameters of a saved configuration, one model per product."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from airflow_provider_llamabatch.emulator.models.options import AtLeastOne, ParseOptions, Tier
from airflow_provider_llamabatch.emulator.models.requests import (
    ExtractConfiguration,
    Name,
    Paging,
    ParseTier,
    ProductType,
)

ShortName = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class ParseParameters(ParseOptions):
    """A saved parse configuration."""

    product_type: Literal["parse_v2"]
    tier: Tier
    version: Name


class ExtractParameters(ExtractConfiguration):
    """A saved extract configuration."""

    product_type: Literal["extract_v2"]


class ClassifyRule(BaseModel):
    """One class of documents."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=50)]
    description: Annotated[str, StringConstraints(min_length=10, max_length=2000)]


class ClassifyParsing(BaseModel):
    """How documents are read before they are classified."""

    lang: str = "en"
    target_pages: str | None = None
    max_pages: AtLeastOne | None = None


class ClassifyParameters(BaseModel):
    """A saved classify configuration; kept, never run."""

    product_type: Literal["classify_v2"]
    rules: Annotated[list[ClassifyRule], Field(min_length=1)]
    mode: Literal["FAST"] = "FAST"
    parsing_configuration: ClassifyParsing | None = None


class SplitCategory(BaseModel):
    """One kind of part."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    description: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None


class SplitStrategy(BaseModel):
    """Where parts begin, and what happens to those of no kind."""

    allow_uncategorized: Literal["include", "forbid", "omit"] = "include"
    custom_instructions: str | None = None
    min_pages_per_split: AtLeastOne | None = None


class SplitParameters(BaseModel):
    """A saved split configuration; kept, never run."""

    product_type: Literal["split_v1"]
    categories: Annotated[list[SplitCategory], Field(min_length=1, max_length=500)]
    splitting_strategy: SplitStrategy = Field(default_factory=SplitStrategy)
    parse_tier: ParseTier | None = None
    parse_config_id: str | None = None
    target_pages: str | None = None
    version: str | None = None


class SpreadsheetParameters(BaseModel):
    """A saved spreadsheet configuration; kept, never run."""

    product_type: Literal["spreadsheet_v1"]
    tier: Literal["cost_effective", "agentic"] = "agentic"
    sheet_names: list[str] | None = None
    include_hidden_cells: bool = True
    extraction_range: str | None = None
    generate_additional_metadata: bool = True
    use_experimental_processing: bool = False
    flatten_hierarchical_tables: bool = False
    table_merge_sensitivity: Literal["strong", "weak"] = "strong"
    specialization: str | None = None


class UntypedParameters(BaseModel):
    """A configuration of no product that is known here."""

    model_config = ConfigDict(extra="allow")

    product_type: Literal["unknown"]


Parameters = Annotated[
    ParseParameters
    | ExtractParameters
    | ClassifyParameters
    | SplitParameters
    | SpreadsheetParameters
    | UntypedParameters,
    Field(discriminator="product_type"),
]


class ConfigurationCreate(BaseModel):
    """Body of a create."""

    name: ShortName
    parameters: Parameters


class ConfigurationChange(BaseModel):
    """Body of a change."""

    name: ShortName | None = None
    parameters: Parameters | None = None


class ConfigurationList(Paging):
    """Query of a list. There is one version of each configuration here, so ``latest_only`` changes nothing."""

    product_type: list[ProductType] = Field(default_factory=list)
    name: str | None = None
    latest_only: bool = False
