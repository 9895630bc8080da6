"""What of a node's report hinders a campaign."""

from dataclasses import replace
from pathlib import Path

import pytest

from stargen.config import Pool
from stargen.launchers.report import NodeReport, hindrances, report_here


@pytest.fixture
def here(tmp_path: Path) -> NodeReport:
    token = tmp_path / "token"
    token.touch()
    return replace(report_here(Pool(), token), wall_s=1000.0)


def said(there: NodeReport, here: NodeReport, pool: Pool | None = None) -> str:
    """As of a node that was asked twenty seconds ago."""
    return "; ".join(hindrances(there, here, pool or Pool(), 980.0))


def test_a_node_like_this_one_is_good(here):
    assert said(here, here) == ""


@pytest.mark.parametrize(
    ("wall_s", "words"),
    [
        (978.0, ""),
        (1003.0, ""),
        (970.0, "its clock is 10 s behind"),
        (1010.0, "its clock is 10 s ahead"),
    ],
)
def test_a_slow_answer_is_no_slow_clock(here, wall_s, words):
    assert said(replace(here, wall_s=wall_s), here) == words


def test_what_differs_is_said(here):
    there = replace(here, version="9", plugins={}, scratch="", shared=False)
    told = said(there, here)
    assert "it has Star-gen 9" in told
    assert "not installed there: " in told
    assert "no folder that can be written to" in told
    assert "does not see this working directory" in told
    assert "does not see" not in said(there, here, Pool(folder="/work/me"))
