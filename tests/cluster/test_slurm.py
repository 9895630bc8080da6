"""Campaigns in allocations of a real Slurm, and what befalls allocations."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cluster.batch import Login
from cluster.slurm import Slurm
from support.real_campaigns import wait_for

pytestmark = pytest.mark.timeout(180)

_TOLD = ("cmdline", "environ")


@pytest.fixture
def login(tmp_path: Path, slurm: Slurm) -> Iterator[Login]:
    desk = Login(tmp_path / "work", slurm)
    yield desk
    desk.sweep()
    slurm.clear()


def test_allocations_come_as_there_is_work_and_go_with_it(login: Login):
    login.campaign(24, 0.5, """
        [[job]]
        name = "tail"
        input = "long"
        select = { sample = 1 }

        [[job]]
        name = "last"
        input = "tail"
        use = "nasty.long"
        params = { seconds = 12, log = "last" }
    """)  # fmt: skip
    code, text = login.stargen("up", "campaign.toml", timeout_s=150)
    assert code == 0, text
    login.books()
    assert Counter(login.begun()).most_common(1)[0][1] == 1
    assert text.index("cpu-1 (job") < text.index("node cpu-1 joined") < text.index("cpu-2 (job")
    assert text.count("is released: no work for") in (2, 3), "all but the last task's node"
    assert "is lost" not in text
    assert login.nothing_left()


def test_an_allocation_that_ends_is_left_in_time(login: Login):
    login.site(walltime='["00:01:00"]', margin_s="35", max_nodes="1")
    login.campaign(20, 1.0, """
        [[job]]
        name = "one"
        use = "echo.source"
        params = { count = 1 }

        [[job]]
        name = "walk"
        input = "one"
        use = "nasty.walk"
        params = { steps = 40, seconds = 1, log = "steps" }
    """)  # fmt: skip
    code, text = login.stargen("up", "campaign.toml", timeout_s=170)
    assert code == 0, text
    login.books()
    assert Counter(login.begun()).most_common(1)[0][1] == 1, "none is begun in vain"
    assert "its time is over" in text
    assert "failure" not in text
    assert text.count("node cpu-1 joined") == 1
    assert "node cpu-1 is back with the same agent" in text
    steps = (login.base / "steps").read_text().splitlines()
    assert len(set(steps)) == 40
    assert len(steps) <= 42, "what was walked is not walked again, but for a step cut off"
    assert login.nothing_left()


def test_a_cancelled_allocation_costs_nothing_but_its_time(login: Login, slurm: Slurm):
    login.site(max_nodes="1")
    login.campaign(20, 0.8)
    master = login.start("up", "campaign.toml")
    assert wait_for(lambda: len(login.begun()) > 5, 40)
    job = slurm.jobs("%i")[0][0]
    slurm.run("scancel", job)
    assert wait_for(lambda: login.allocations().get("cpu-1") in ("ended", "queued", "running"), 20)
    said = login.explain("cpu")
    text, _ = master.communicate(timeout=90)
    assert master.returncode == 0, text
    login.books()
    assert f"cpu-1 (job {job}) is ended: Slurm says CANCELLED" in text, said
    assert "failure" not in text
    assert login.nothing_left()


def test_what_is_refused_is_said_and_asked_for_again(login: Login, slurm: Slurm):
    login.site(max_nodes="1")
    login.campaign(4, 0.1)
    slurm.accept(False)
    master = login.start("up", "campaign.toml")
    assert wait_for((login.folder / "run" / "meet" / "where.json").is_file, 20)
    assert wait_for(lambda: "refused" in login.allocations().values(), 20)
    refusal = "Required partition not available"
    assert refusal in login.stargen("status", "--campaign", "far")[1]
    assert refusal in login.explain("make")
    assert wait_for(lambda: "the next try is in" in login.explain("cpu"), 30)
    assert not slurm.jobs()
    slurm.accept(True)
    text, _ = master.communicate(timeout=60)
    assert master.returncode == 0, text
    login.books()


def test_a_node_that_the_batch_system_gives_up_is_left(login: Login, slurm: Slurm):
    login.site(max_nodes="2")
    login.campaign(40, 0.8)
    master = login.start("up", "campaign.toml")
    assert wait_for(lambda: len(login.begun()) > 8, 40)
    hosts = dict(slurm.jobs("%j", "%N"))
    slurm.kill_node(next(iter(hosts.values())))
    text, _ = master.communicate(timeout=120)
    assert master.returncode == 0, text
    login.books()
    assert login.nothing_left()


def test_a_killed_master_finds_its_allocations_and_their_tasks(login: Login, slurm: Slurm):
    login.site(max_nodes="2")
    login.campaign(40, 0.8)
    master = login.start("up", "campaign.toml")
    assert wait_for(lambda: len(login.begun()) > 8 and len(login.agents()) == 2, 60)
    jobs = {job[0] for job in slurm.jobs()}
    agents = set(login.agents())
    os.kill(master.pid, signal.SIGKILL)
    master.communicate()
    assert agents == set(login.agents())
    code, text = login.stargen("up", "campaign.toml", timeout_s=150)
    assert code == 0, text
    login.books()
    assert Counter(login.begun()).most_common(1)[0][1] == 1, "nothing is run again"
    assert "is back with the same agent" in text
    assert len(jobs) == 2
    assert login.nothing_left()


def keys(login: Login) -> list[str]:
    """The lines of the campaign's two private keys."""
    files = [login.folder / "run" / "meet" / name for name in ("agent", "master")]
    return [line for file in files for line in file.read_text().splitlines()[1:-1]]


def secrets_told(login: Login) -> list[Path]:
    """Command lines, environments, scripts and outputs in which a private key appears."""
    places = [Path(f"/proc/{pid}", name) for pid in login.processes() for name in _TOLD]
    places += (login.folder / "run" / "allocations").iterdir()
    found: list[Path] = []
    for place in places:
        with suppress(OSError):
            text = place.read_bytes().decode(errors="replace")
            found += [place] if any(line in text for line in keys(login)) else []
    assert len(places) > 8
    return found


def test_down_cancels_what_waits_and_ends_what_runs(login: Login, slurm: Slurm):
    login.site(max_nodes="2")
    login.campaign(60, 2.0)
    master = login.start("up", "campaign.toml")
    assert wait_for(lambda: len(login.begun()) > 3, 60)
    told = secrets_told(login)
    code, text = login.stargen("down", "--campaign", "far", "--now", timeout_s=90)
    assert code == 0, text
    assert not told
    text, _ = master.communicate(timeout=30)
    assert not any(line in text for line in keys(login))
    assert login.nothing_left()
    assert set(login.allocations().values()) == {"ended"}


@pytest.mark.slow
def test_tasks_that_need_several_nodes_get_them_in_one_allocation(login: Login):
    login.site(nodes="2")
    login.campaign(3, 0.3, """
        resources = { nodes = 2, cores = 2 }
    """)  # fmt: skip
    code, text = login.stargen("up", "campaign.toml", timeout_s=150)
    assert code == 0, text
    login.books()
    assert "node cpu-1.0 joined" in text
    assert "node cpu-1.1 joined" in text
    assert login.nothing_left()


@pytest.mark.slow
def test_a_master_in_an_allocation_is_asked_and_ended_from_the_login_node(
    login: Login, slurm: Slurm
):
    login.campaign(60, 1.0)
    code, text = login.stargen("up", "campaign.toml", "--submit", "cpu")
    assert code == 0, text
    assert slurm.jobs("%j") == [["sg-far-master"]]
    assert wait_for(lambda: len(login.begun()) > 2, 90)
    assert {job[0] for job in slurm.jobs("%j")} >= {"sg-far-master"}
    assert login.picture()["state"] == "running"
    code, text = login.stargen("down", "--campaign", "far", "--now", timeout_s=90)
    assert code == 0, text
    assert login.nothing_left()
    assert login.picture()["state"] == "interrupted"
    code, text = login.stargen("up", "campaign.toml", "--submit", "nowhere")
    assert code == 2
    assert "there are: cpu" in text
