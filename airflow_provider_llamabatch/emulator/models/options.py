"""The options of a parse job, name by name as the API declares them: unknown names and values are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

LANGUAGES = frozenset(
    """
    af az bs cs cy da de en es et fr ga hr hu id is it ku la lt lv mi ms mt nl no oc pi pl pt ro
    rs_latin sk sl sq sv sw tl tr uz vi ar fa ug ur bn as mni ru rs_cyrillic be bg uk mn abq ady kbd ava
    dar inh che lbe lez tab tjk hi mr ne bh mai ang bho mah sck new gom sa bgc th ch_sim ch_tra ja ko ta
    te kn
    """.split()  # noqa: SIM905 - a hundred words in as many lines
)


def _language(word: str) -> str:
    if word not in LANGUAGES:
        raise ValueError("not a language the parser knows")
    return word


def page_numbers(text: str) -> list[range]:
    """Read ``1,3,5-7``. Raises ValueError for anything else."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, _, last = part.partition("-")
        if not (first.isdecimal() and (not last or last.isdecimal()) and len(part) < 20):
            raise ValueError("pages are given as 1,3,5-7")
        found.append(range(int(first), int(last or first) + 1))
    return found


Language = Annotated[str, AfterValidator(_language), Field(json_schema_extra={"enum": sorted(LANGUAGES)})]
AtLeastOne = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
HttpUrl = Annotated[str, StringConstraints(pattern="^https?:")]
MAX_WEBHOOKS = 4
Tier = Literal["fast", "cost_effective", "agentic", "agentic_plus"]


class Options(BaseModel):
    """A group of options."""

    model_config = ConfigDict(extra="forbid")


class IgnoreOptions(Options):
    """The options under ``processing_options.ignore``."""

    ignore_diagonal_text: bool | None = None
    ignore_text_in_image: bool | None = None
    ignore_hidden_text: bool | None = None


class OcrOptions(Options):
    """The options under ``processing_options.ocr_parameters``."""

    languages: list[Language] | None = None


class CostOptimizer(Options):
    """The options under ``processing_options.cost_optimizer``."""

    enable: bool | None = None


class AutoModeIgnore(Options):
    """The options under ``auto_mode_configuration[].parsing_conf.ignore``."""

    ignore_diagonal_text: bool | None = None
    ignore_hidden_text: bool | None = None


class CropBox(Options):
    """The options under ``crop_box``."""

    bottom: Share | None = None
    left: Share | None = None
    right: Share | None = None
    top: Share | None = None


class SpatialTextOptions(Options):
    """The options under ``output_options.spatial_text``."""

    preserve_layout_alignment_across_pages: bool | None = None
    preserve_very_small_text: bool | None = None
    do_not_unroll_columns: bool | None = None


class PresentationOptions(Options):
    """The options under ``input_options.presentation``."""

    include_hidden_slides: bool | None = None
    out_of_bounds_content: bool | None = None
    skip_embedded_data: bool | None = None


class AutoModeParsing(Options):
    """The options under ``auto_mode_configuration[].parsing_conf``."""

    tier: Tier | None = None
    version: str | None = None
    custom_prompt: str | None = None
    ignore: AutoModeIgnore | None = None
    aggressive_table_extraction: bool | None = None
    outlined_table_extraction: bool | None = None
    adaptive_long_table: bool | None = None
    extract_layout: bool | None = None
    specialized_chart_parsing: Literal["agentic_plus", "agentic", "efficient"] | None = None
    high_res_ocr: bool | None = None
    language: str | None = None
    crop_box: CropBox | None = None
    spatial_text: SpatialTextOptions | None = None
    presentation: PresentationOptions | None = None


class AutoModeEntry(Options):
    """The options under ``processing_options.auto_mode_configuration[]``."""

    parsing_conf: AutoModeParsing
    trigger_mode: str | None = None
    page_md_error: bool | None = None
    text_in_page: str | None = None
    table_in_page: bool | None = None
    image_in_page: bool | None = None
    full_page_image_in_page: bool | None = None
    full_page_image_in_page_threshold: float | str | None = None
    filename_regexp: str | None = None
    filename_regexp_mode: str | None = None
    filename_match_glob: str | None = None
    filename_match_glob_list: list[str] | None = None
    page_longer_than_n_chars: int | str | None = None
    page_shorter_than_n_chars: int | str | None = None
    page_contains_at_least_n_words: int | str | None = None
    page_contains_at_most_n_words: int | str | None = None
    page_contains_at_least_n_lines: int | str | None = None
    page_contains_at_most_n_lines: int | str | None = None
    page_contains_at_least_n_images: int | str | None = None
    page_contains_at_most_n_images: int | str | None = None
    page_contains_at_least_n_tables: int | str | None = None
    page_contains_at_most_n_tables: int | str | None = None
    page_contains_at_least_n_links: int | str | None = None
    page_contains_at_most_n_links: int | str | None = None
    page_contains_at_least_n_charts: int | str | None = None
    page_contains_at_most_n_charts: int | str | None = None
    page_contains_at_least_n_layout_elements: int | str | None = None
    page_contains_at_most_n_layout_elements: int | str | None = None
    page_contains_at_least_n_percent_numbers: int | str | None = None
    page_contains_at_most_n_percent_numbers: int | str | None = None
    page_contains_at_least_n_numbers: int | str | None = None
    page_contains_at_most_n_numbers: int | str | None = None
    regexp_in_page: str | None = None
    regexp_in_page_mode: str | None = None
    layout_element_in_page: str | None = None
    layout_element_in_page_confidence_threshold: float | str | None = None


class ProcessingOptions(Options):
    """The options under ``processing_options``."""

    ignore: IgnoreOptions = Field(default_factory=IgnoreOptions)
    ocr_parameters: OcrOptions = Field(default_factory=OcrOptions)
    aggressive_table_extraction: bool | None = None
    confidence_score_effort: Literal["high"] | None = None
    disable_heuristics: bool | None = None
    specialized_chart_parsing: Literal["agentic_plus", "agentic", "efficient"] | None = None
    cost_optimizer: CostOptimizer | None = None
    auto_mode_configuration: list[AutoModeEntry] | None = None
    forms: Literal["default", "enrich"] | None = None


class FastOptions(Options):
    """The options under ``fast_options``."""


class AgenticOptions(Options):
    """The options under ``agentic_options``."""

    custom_prompt: str | None = None


class ParseWebhook(Options):
    """The options under ``webhook_configurations[]``."""

    webhook_url: HttpUrl | None = None
    webhook_headers: dict[str, Any] | None = None
    webhook_signing_secret: str | None = None
    webhook_events: list[str] | None = None
    webhook_output_format: Literal["string", "json"] | None = None


class HtmlOptions(Options):
    """The options under ``input_options.html``."""

    make_all_elements_visible: bool | None = None
    remove_fixed_elements: bool | None = None
    remove_navigation_elements: bool | None = None


class PdfOptions(Options):
    """The options under ``input_options.pdf``."""


class SpreadsheetOptions(Options):
    """The options under ``input_options.spreadsheet``."""

    detect_sub_tables_in_sheets: bool | None = None
    force_formula_computation_in_sheets: bool | None = None
    include_hidden_sheets: bool | None = None


class ImageOptions(Options):
    """The options under ``input_options.image``."""

    camera_photo_correction: bool | None = None


class InputOptions(Options):
    """The options under ``input_options``."""

    html: HtmlOptions = Field(default_factory=HtmlOptions)
    pdf: PdfOptions = Field(default_factory=PdfOptions)
    spreadsheet: SpreadsheetOptions = Field(default_factory=SpreadsheetOptions)
    presentation: PresentationOptions = Field(default_factory=PresentationOptions)
    image: ImageOptions = Field(default_factory=ImageOptions)


class PageRanges(Options):
    """The options under ``page_ranges``."""

    max_pages: AtLeastOne | None = None
    target_pages: str | None = None


class TablesOptions(Options):
    """The options under ``output_options.markdown.tables``."""

    compact_markdown_tables: bool | None = None
    output_tables_as_markdown: bool | None = None
    markdown_table_multiline_separator: str | None = None
    merge_continued_tables: bool | None = None


class MarkdownOptions(Options):
    """The options under ``output_options.markdown``."""

    annotate_line_numbers: bool | None = None
    annotate_links: bool | None = None
    annotate_revisions: bool | None = None
    tables: TablesOptions = Field(default_factory=TablesOptions)
    inline_images: bool | None = None


class TablesAsSpreadsheetOptions(Options):
    """The options under ``output_options.tables_as_spreadsheet``."""

    enable: bool | None = None
    guess_sheet_name: bool = True


class OutputOptions(Options):
    """The options under ``output_options``."""

    markdown: MarkdownOptions = Field(default_factory=MarkdownOptions)
    spatial_text: SpatialTextOptions = Field(default_factory=SpatialTextOptions)
    tables_as_spreadsheet: TablesAsSpreadsheetOptions = Field(default_factory=TablesAsSpreadsheetOptions)
    extract_printed_page_number: bool | None = None
    images_to_save: list[Literal["screenshot", "embedded", "layout"]] | None = None
    additional_outputs: list[str] = []
    granular_bboxes: list[Literal["cell", "line", "word"]] = []
    save_output_pdf: bool | None = None
    watermark_handling: Literal["move_to_end", "move_to_start", "remove"] | None = None


class Timeouts(Options):
    """The options under ``processing_control.timeouts``."""

    base_in_seconds: Annotated[int, Field(gt=0, le=7200)] | None = None
    extra_time_per_page_in_seconds: Annotated[int, Field(gt=0, le=300)] | None = None


class JobFailureConditions(Options):
    """The options under ``processing_control.job_failure_conditions``."""

    allowed_page_failure_ratio: Annotated[float, Field(gt=0, le=1)] | None = None
    fail_on_image_extraction_error: bool | None = None
    fail_on_image_ocr_error: bool | None = None
    fail_on_markdown_reconstruction_error: bool | None = None
    fail_on_buggy_font: bool | None = None


class ProcessingControl(Options):
    """The options under ``processing_control``."""

    timeouts: Timeouts = Field(default_factory=Timeouts)
    job_failure_conditions: JobFailureConditions = Field(default_factory=JobFailureConditions)


class ParseOptions(Options):
    """What a parse job and a saved parse configuration have in common."""

    client_name: str | None = None
    processing_options: ProcessingOptions = Field(default_factory=ProcessingOptions)
    fast_options: FastOptions | None = None
    agentic_options: AgenticOptions | None = None
    webhook_configurations: Annotated[list[ParseWebhook], Field(max_length=MAX_WEBHOOKS)] = []
    webhook_configuration_ids: Annotated[list[str], Field(max_length=MAX_WEBHOOKS)] | None = None
    input_options: InputOptions = Field(default_factory=InputOptions)
    crop_box: CropBox = Field(default_factory=CropBox)
    page_ranges: PageRanges = Field(default_factory=PageRanges)
    disable_cache: bool | None = None
    output_options: OutputOptions = Field(default_factory=OutputOptions)
    processing_control: ProcessingControl = Field(default_factory=ProcessingControl)
