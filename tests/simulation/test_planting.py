"""That the simulation finds what it is for: a few planted defects that it finds soon, and that all can be planted."""

from __future__ import annotations

import pytest

from tests.simulation.history import play
from tests.simulation.planting import PLANTS, planted
from tests.simulation.playing import collected_rarely

FOUND_SOON = (
    "adopted without comparing the configuration",
    "the deferral before the record",
    "a lost response is looked for once",
    "one verdict ends a wait",
    "the deadline is ignored",
    "a lane that never frees a place",
    "polls on no grid",
)
HISTORIES = 300


@pytest.mark.parametrize("name", PLANTS)
def test_each_defect_can_be_planted_in_the_code_as_it_is_and_leaves_no_trace(name):
    owners = [(change.owner, change.name) for change in PLANTS[name]]
    before = [getattr(*owner) for owner in owners]
    with planted(name):
        assert all(getattr(*owner) is not known for owner, known in zip(owners, before, strict=True))
    assert [getattr(*owner) for owner in owners] == before


@pytest.mark.parametrize("name", FOUND_SOON)
def test_a_planted_defect_is_found(name):
    with planted(name), collected_rarely():
        assert any(play(seed).violation for seed in range(HISTORIES))
