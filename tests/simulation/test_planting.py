"""That the simulation finds what it is for: a few planted defects that it finds soon, and that all can be planted."""

from __future__ import annotations

import pytest

from tests.simulation.history import play
from tests.simulation.planting import PLANTS, planted
from tests.simulation.playing import collected_rarely

FOUND_SOON = {  # defects, and the promise that each breaks
    "adopted without comparing the configuration": "own batch",
    "the deferral before the record": "paid twice",
    "a lost response is looked for once": "paid twice",
    "a gateway's 404 is the API's": "paid twice",
    "the deadline is ignored": "no wait is lost",
    "a lane that never frees a place": "no wait is lost",
    "polls on no grid": "bounded",
}
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
        found = next((result for seed in range(HISTORIES) if (result := play(seed)).violation), None)
    assert found is not None
    assert found.promise == FOUND_SOON[name]
