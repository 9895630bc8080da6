"""A person at a running campaign: every command, every way to end it, every exit code."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.checker import Books
from support.real_campaigns import Desk, wait_for

NAME = "steered"
COUNT = 240

TEXT = f"""
[campaign]
name = "{NAME}"
database = "sqlite:///steered.db"
[[job]]
name = "make"
use = "echo.source"
params = {{ count = {COUNT}, seconds = 0.02 }}
grain = 2
[[job]]
name = "pass"
input = "make"
use = "echo.map"
grain = 4
"""

BRANCHES = """
[[job]]
name = "fragile"
input = "make"
use = "nasty.fault"
params = { mode = "raise", every = 60, once = "struck" }
grain = 1
retries = { calculation = 0 }
[[job]]
name = "futile"
input = "make"
use = "nasty.long"
params = { seconds = 30 }
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    assert not desk.sweep(), "processes were left over"


def books(desk: Desk) -> Books:
    return Books(desk.base / "campaigns" / NAME / "journal")


def is_complete(desk: Desk) -> None:
    found = books(desk)
    found.check_complete()
    assert len(found.contents("pass")) == COUNT
    found.check_database(desk.base / "steered.db")


def job(desk: Desk, name: str) -> dict[str, Any]:
    code, said = desk.stargen("status", "--json")
    assert code == 0, said
    return next(job for job in json.loads(said)["jobs"] if job["name"] == name)


def ask(desk: Desk, *words: str) -> str:
    code, said = desk.stargen(*words)
    assert code == 0, said
    return said


def refused(desk: Desk, *words: str) -> str:
    code, said = desk.stargen(*words)
    assert code == 2, said
    assert "Traceback" not in said
    return said


def has_workers(desk: Desk) -> bool:
    return wait_for(lambda: len(desk.workers()) >= 2, 30.0)


# --- a whole session ------------------------------------------------------------------------------


def test_a_detached_campaign_is_steered_from_beside(desk: Desk) -> None:
    desk.write("campaign.toml", TEXT + BRANCHES)
    said = ask(desk, "up", "campaign.toml", "--detach")
    assert "master.log" in said
    assert "stargen status" in said
    ask(desk, "hold", "pass")
    assert wait_for(lambda: bool(job(desk, "pass")["held"]), 20.0)
    said = ask(desk, "explain", "pass")
    assert "held" in said
    assert "stargen release pass" in said
    came_out = job(desk, "pass")["out"]

    ask(desk, "cancel", "futile")
    assert wait_for(lambda: job(desk, "futile")["state"] == "cancelled", 20.0)

    assert "there is no job fragil" in refused(desk, "explain", "fragil")
    assert "fragile" in refused(desk, "hold", "fragil")
    assert wait_for(lambda: job(desk, "fragile")["quarantined"] == 4, 30.0)
    said = ask(desk, "failures")
    assert "4 x calculation" in said
    assert "imaginary corners" in said
    ask(desk, "retry", "fragile")
    assert wait_for(lambda: job(desk, "fragile")["quarantined"] == 0, 20.0)

    assert job(desk, "pass")["out"] <= came_out + 2 * 4, "a held job went on"
    ask(desk, "release", "pass")
    assert desk.wait_until_gone(60.0) == []
    assert "done" in ask(desk, "status")
    found = books(desk)
    assert len(found.contents("pass")) == COUNT
    assert len(found.contents("fragile")) == COUNT
    assert "no master is running" in refused(desk, "down")
    assert "stargen up" in refused(desk, "retry", "fragile")


# --- ways to end it -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGINT], [signal.SIGINT, signal.SIGINT], [signal.SIGTERM]],
    ids=["Ctrl-C", "Ctrl-C-twice", "SIGTERM"],
)
def test_a_signal_ends_everything_and_loses_nothing(
    desk: Desk, signals: list[signal.Signals]
) -> None:
    desk.write("campaign.toml", TEXT)
    first = desk.start("up", "campaign.toml")
    assert has_workers(desk)
    for number in signals:
        first.send_signal(number)
    text, _ = first.communicate(timeout=60)
    assert first.returncode == 1, text
    assert "stargen up campaign.toml" in text, "it does not say how to go on"
    assert desk.wait_until_gone() == []
    ask(desk, "up", "campaign.toml")
    is_complete(desk)


@pytest.mark.parametrize("words", [("down",), ("down", "--now")], ids=" ".join)
def test_down_leaves_a_campaign_that_goes_on_later(desk: Desk, words: tuple[str, ...]) -> None:
    desk.write("campaign.toml", TEXT)
    ask(desk, "up", "campaign.toml", "--detach")
    assert has_workers(desk)
    assert "stopped" in ask(desk, *words)
    assert desk.wait_until_gone() == []
    assert len(books(desk).by_name["make"].stream) < COUNT, "there was nothing left to stop"
    ask(desk, "up", "campaign.toml")
    is_complete(desk)


def test_a_terminal_that_is_closed_costs_nothing(desk: Desk) -> None:
    """As when a connection breaks: whoever comes back goes on with the same agent."""
    desk.write("campaign.toml", TEXT)
    ours, theirs = pty.openpty()
    first = subprocess.Popen(
        ["setsid", "--ctty", "--wait", sys.executable, "-m", "stargen.cli", "up", "campaign.toml"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=desk.environment() | {"TERM": "xterm"},
        cwd=desk.base,
    )
    os.close(theirs)
    assert wait_for(lambda: _drained(ours) and len(desk.workers()) >= 2, 30.0)
    os.close(ours)
    first.wait(30)
    assert wait_for(lambda: not desk.processes("stargen.cli"), 20.0), "it runs on unseen"
    ask(desk, "up", "campaign.toml")
    is_complete(desk)


def _drained(terminal: int) -> bool:
    """Read what is on the screen, so that whoever writes there does not wait."""
    os.set_blocking(terminal, False)
    try:
        while os.read(terminal, 65536):
            pass
    except BlockingIOError:
        return True
    return True


# --- exit codes -----------------------------------------------------------------------------------


def test_a_bug_ends_with_its_own_code_and_loses_nothing(desk: Desk) -> None:
    desk.write("campaign.toml", TEXT)
    code, said = desk.stargen("up", "campaign.toml", module="support.buggy_cli")
    assert code == 3, said
    assert "the scheduler has lost count" in said
    assert "a bug in Star-gen" in said
    assert "story" in said
    (story,) = (desk.base / "campaigns" / NAME / "run").glob("story-*.txt")
    assert "lost count" in story.read_text()
    code, said = desk.stargen("up", "campaign.toml")
    assert code == 0, said
    is_complete(desk)


def test_failed_tasks_have_their_own_code_until_a_retry_mends_them(desk: Desk) -> None:
    fragile = BRANCHES.partition('[[job]]\nname = "futile"')[0]
    desk.write("campaign.toml", TEXT.replace("seconds = 0.02", "seconds = 0") + fragile)
    code, said = desk.stargen("up", "campaign.toml")
    assert code == 1, said
    assert "stargen failures" in said
    code, said = desk.stargen("up", "campaign.toml", "--retry", "fragile")
    assert code == 0, said
    found = books(desk)
    found.check_complete()
    assert len(found.contents("fragile")) == COUNT
