from pathlib import Path

import pytest

from stargen.cli.pictures import remembered
from stargen.errors import CampaignBusy
from stargen.master.detached import Detached
from stargen.master.running import Outcome

LEFT = ["local: these processes could not be ended: 77"]


@pytest.fixture
def runs(monkeypatch, campaign):
    """What `up` asked for; every run ends with the picture of the interrupted campaign."""
    asked = []

    def run(file, *, show, **options):
        asked.append({"file": file, **options})
        picture = remembered(campaign) | {"state": "done", "reason": ""}
        picture["jobs"][1]["quarantined"] = 2
        picture["sinks"] = [{"name": "database", "url": "sqlite:///x", "problem": "", "missing": 0}]
        show(picture)
        return Outcome("done", "", 1, picture, ["3 records are not stored"], LEFT)

    monkeypatch.setattr("stargen.master.launch.run", run)
    return asked


def test_up_runs_the_campaign_and_sums_it_up(stargen, runs):
    answer = stargen("up", "salts.toml")
    assert answer.code == 1
    assert runs[0]["file"] == Path("salts.toml")
    assert runs[0]["folder"] == Path("campaigns/salts")
    assert runs[0]["requests"] == []
    assert list(runs[0]["settings"].pool) == ["local"]
    assert "make  20   17  odd 2, dull 1" in answer.out
    assert "3 records are not stored" in answer.out
    assert "could not be ended: 77" in answer.out
    assert "stargen failures --campaign salts" in answer.out
    assert "stargen up salts.toml --retry all" in answer.out
    assert "stargen db stats --campaign salts" in answer.out


def test_up_hands_on_what_it_is_told(stargen, runs, here):
    stargen(
        "up", "salts.toml", "--folder", "x", "--takeover", "--retry", "all", "--release", "pass"
    )
    assert runs[0]["folder"] == Path("x")
    assert runs[0]["takeover"] is True
    assert runs[0]["requests"] == [("retry", ""), ("release", "pass")]


def test_nothing_runs_if_a_file_is_wrong(stargen, runs, here):
    (here / "stargen.toml").write_text("[pool.a]\nlauncer = 1\n")
    assert stargen("up", "salts.toml").code == 2
    assert runs == []


def test_detach_leaves_a_master_behind(stargen, here, monkeypatch):
    def detach(file, *, folder, config, takeover):
        return Detached(99, folder / "run" / "master.log")

    monkeypatch.setattr("stargen.master.detached.detach", detach)
    answer = stargen("up", "salts.toml", "--detach")
    assert answer.code == 0
    assert "salts runs as process 99" in answer.out
    assert "stargen status --campaign salts" in answer.out


def test_a_campaign_that_is_held_is_refused(stargen, here, monkeypatch):
    def run(file, **options):
        raise CampaignBusy("held by host:42", hint="stargen down")

    monkeypatch.setattr("stargen.master.launch.run", run)
    answer = stargen("up", "salts.toml")
    assert answer.code == 2
    assert "held by host:42\n  stargen down" in answer.err


def test_down_stops_the_master_and_waits(stargen, master):
    answer = stargen("down")
    assert answer.code == 0
    assert answer.out.splitlines()[-1] == "stopped"
    assert master.asked == [("stop", False)]


def test_down_now_does_not_wait_for_tasks(stargen, master):
    stargen("down", "--now")
    assert master.asked == [("stop", True)]


def test_down_needs_a_master(stargen, campaign):
    answer = stargen("down")
    assert answer.code == 2
    assert "no master is running" in answer.err
