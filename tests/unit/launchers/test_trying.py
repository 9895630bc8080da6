"""Calculators tried on a node: this one."""

import json
import os
from pathlib import Path

import pytest

from stargen.calculators.registry import Registry
from stargen.config import Limits, Pool
from stargen.launchers.report import hindrances, report_here
from stargen.launchers.trying import Trial, problems_of, trials_of, try_all
from stargen.scheduling.organizer import organize
from stargen.scheduling.parser import draft

CAMPAIGN = """
[campaign]
name = "c"
chemistry = { require = ["Li"] }
[[job]]
name = "make"
use = "echo.source"
params = { count = 3 }
[[job]]
name = "cut"
input = "make"
pool = "cpu"
[[job.step]]
use = "echo.map"
random = true
[[job.step]]
use = "nasty.unloadable"
[[job]]
name = "again"
input = "cut"
use = "echo.map"
params = { random = true }
"""


def trial(use: str, folder: Path | str = "", **params: object) -> Trial:
    return Trial(use, params, {}, str(folder))


def trials(pool: str, folder: Path | None = None) -> list[Trial]:
    plan = organize(draft(CAMPAIGN), Registry.installed().calculator)
    return trials_of(plan, pool, folder)


def test_a_node_tries_what_may_run_there_once():
    assert [each.use for each in trials("gpu")] == ["echo.source", "echo.map"]
    assert [each.use for each in trials("cpu")] == ["echo.source", "echo.map", "nasty.unloadable"]
    assert trials("cpu")[1].params == {"random": True}
    assert tuple(trials("cpu")[1].chemistry["require"]) == ("Li",)


def test_what_works_has_no_problems(tmp_path):
    assert problems_of(trial("echo.source", count=3)) == []
    assert problems_of(trial("echo.map", tmp_path, random=True)) == []


@pytest.mark.parametrize(
    ("use", "params", "words"),
    [
        ("nasty.missing", {}, "there is no calculator nasty.missing"),
        ("nasty.broken", {}, "this plugin was built for another planet"),
        ("nasty.unloadable", {}, "FileNotFoundError: weights.pt is not here"),
        ("nasty.table", {"table": "none.txt"}, "none.txt"),
        ("echo.map", {"coulour": 1}, "coulour"),
    ],
)
def test_what_does_not_work_is_said(tmp_path, use, params, words):
    (problem,) = problems_of(trial(use, tmp_path, **params))
    assert words in problem


def test_inputs_are_not_looked_for_where_they_do_not_lie_yet():
    assert problems_of(trial("nasty.table", table="none.txt")) == []


def test_a_calculator_that_dies_is_told_from_one_that_fails(tmp_path, monkeypatch):
    """As libraries do that were built for another processor."""
    (tmp_path / "dying.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    told = tmp_path / "dying-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: dying\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[stargen.calculators]\ndying.now = dying:info\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    found = try_all([trial("dying.now"), trial("echo.map")])
    assert found == {"dying.now": ["it ends by SIGILL"], "echo.map": []}


def test_a_report_tells_of_trials_and_commands(tmp_path):
    commands = {"vasp": "mpirun-nowhere -n 4 vasp_std", "shell": "/bin/sh", "x": "OMP=1 nothing"}
    settings = Pool(commands=commands, limits=Limits(cores=1))
    token = tmp_path / "token"
    token.touch()
    there = report_here(settings, token, [trial("nasty.unloadable", tmp_path)])
    json.dumps(there.trials)
    said = hindrances(there, report_here(settings, token), settings, there.wall_s)
    assert said == [
        "its command vasp is no program there",
        "nasty.unloadable: FileNotFoundError: weights.pt is not here",
    ]
