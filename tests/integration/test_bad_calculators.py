"""Calculators that raise, lie, hang, crash and eat: their candidate is set aside, nobody else's.

One campaign has a branch for each kind of mischief. A poisonous candidate sits in a batch with
sound ones, so each branch also shows that a batch is cut until the culprit is alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from support.checker import Books
from support.real_campaigns import Desk

COUNT = 16
POISON = {"make/0"}

HEAD = f"""
[campaign]
name = "mischief"
[[job]]
name = "make"
use = "nasty.source"
params = {{ count = {COUNT} }}
"""

BRANCH = """
[[job]]
name = "{mode}"
input = "make"
use = "nasty.fault"
params = {{ mode = "{mode}", every = {count}{params} }}
grain = {grain}
retries = {{ calculation = 0, memory = 1 }}
"""


@dataclass(frozen=True)
class Mischief:
    """A way to go wrong, and what must be said of it."""

    mode: str
    said: str
    grain: int = 8
    params: str = ""


KINDS = [
    Mischief("raise", "imaginary corners"),
    Mischief("garbage", "not a Candidate or Drop"),
    Mischief("too-few", "neither a candidate nor a Drop"),
    Mischief("stranger", "both kept and dropped"),
    Mischief("exit", "exit code 3"),
    Mischief("segfault", "SIGSEGV"),
    Mischief("kill", "SIGKILL"),
    Mischief("loop", "walltime", grain=1, params=", walltime_s = 1.0"),
    Mischief("deaf-loop", "walltime", grain=1, params=", walltime_s = 1.0"),
    Mischief("memory", "memory", grain=1, params=", memory_gib = 0.3"),
]


def branch(kind: Mischief) -> str:
    return BRANCH.format(mode=kind.mode, count=COUNT, grain=kind.grain, params=kind.params)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Books, str, str]:
    """The journal, what `up` said, and what `failures` says afterwards."""
    desk = Desk(tmp_path_factory.mktemp("mischief"))
    desk.write("campaign.toml", HEAD + "".join(map(branch, KINDS)))
    code, said = desk.stargen("up", "campaign.toml", timeout_s=120)
    assert code == 1, said
    assert not desk.sweep(), "processes were left over"
    _, failures = desk.stargen("failures")
    return Books(desk.base / "campaigns" / "mischief" / "journal"), said, failures


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.mode)
def test_only_the_poisonous_candidate_is_set_aside(
    kind: Mischief, outcome: tuple[Books, str, str]
) -> None:
    books, _, failures = outcome
    job = books.by_name[kind.mode]
    assert {name for _, _, name in job.quarantined} == POISON
    assert len(books.contents(kind.mode)) == COUNT - len(POISON)
    assert all(kind.said in reason for reason in job.reasons.values()), job.reasons
    assert kind.said in failures


def test_the_books_are_in_order_all_the_same(outcome: tuple[Books, str, str]) -> None:
    outcome[0].check_complete()


def test_a_calculator_that_cannot_be_loaded_stops_its_job_and_says_why(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    job = '[[job]]\nname = "load"\ninput = "make"\nuse = "nasty.unloadable"\n'
    desk.write("campaign.toml", HEAD + job)
    code, said = desk.stargen("up", "campaign.toml", timeout_s=60)
    assert code == 1, said
    assert "weights.pt is not here" in said
    assert not desk.sweep()


def test_a_job_whose_candidates_fail_one_after_another_is_held(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    job = BRANCH.format(mode="raise", count=1, grain=1, params="")
    desk.write("campaign.toml", HEAD.replace(f"count = {COUNT}", "count = 200") + job)
    code, said = desk.stargen("up", "campaign.toml", timeout_s=60)
    assert code == 1, said
    assert "held" in said
    books = Books(tmp_path / "campaigns" / "mischief" / "journal")
    assert 10 <= len(books.by_name["raise"].quarantined) < 100
    assert not desk.sweep()
