"""The smallest campaign, with everything real: master, agent, workers, journal, processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stargen.config import Limits, Pool, Settings
from stargen.crystal import decode_drops, decode_entry
from stargen.journal import read_entry, read_records, verify
from stargen.master.control import ControlClient, NoMaster
from stargen.master.detached import detach
from stargen.master.launch import run
from stargen.model import Location
from stargen.processes import process_of
from stargen.records import TasksFinished, decode

CAMPAIGN = """
[campaign]
name = "echo"
seed = 3

[[job]]
name = "make"
use = "echo.source"
params = { count = 300, payload_bytes = 100 }

[[job]]
name = "draw"
input = "make"
use = "echo.map"
params = { random = true }

[[job]]
name = "unique"
input = "draw"
use = "echo.keyed"
"""

SLOW = """
[campaign]
name = "slow"

[[job]]
name = "make"
use = "echo.source"
grain = 1
params = { count = 200, seconds = 0.02 }
"""

SETTINGS = Settings(pool={"local": Pool(limits=Limits(cores=2))})


@pytest.fixture
def campaign(tmp_path):
    file = tmp_path / "campaign.toml"
    file.write_text(CAMPAIGN)
    return file


def results(folder: Path, job: int):
    """(candidates, drops) of a job, from the journal's files alone."""
    journal = folder / "journal"
    candidates, drops = [], []
    for _, body in read_records(journal):
        record = decode(body)
        if not isinstance(record, TasksFinished) or record.job != job:
            continue
        for row in record.rows:
            at = row.offset
            for size in row.sizes:
                entry = read_entry(journal, Location(row.segment, at, size))
                candidates.append(decode_entry(entry))
                at += size
            block = read_entry(journal, Location(row.segment, at, row.drops_size))
            drops += decode_drops(block)
    return candidates, drops


def drawn(folder: Path) -> dict[str, float]:
    return {c.candidate_id: c.properties["echo"] for c in results(folder, 1)[0]}


def test_an_echo_campaign_runs_end_to_end(campaign, tmp_path):
    pictures = []
    outcome = run(campaign, settings=SETTINGS, folder=tmp_path / "one", show=pictures.append)
    assert (outcome.state, outcome.exit_code, outcome.left) == ("done", 0, [])
    made, _ = results(tmp_path / "one", 0)
    assert sorted(c.candidate_id for c in made) == sorted(f"make/{n}" for n in range(300))
    assert all(c.data["payload"] == bytes(100) for c in made)
    kept, dropped = results(tmp_path / "one", 2)
    formulas = [c.crystal.formula for c in kept]
    assert len(set(formulas)) == len(formulas) == 20
    assert len(kept) + len(dropped) == 300
    assert {c.candidate_id for c in kept} | {d.candidate_id for d in dropped} == set(
        drawn(tmp_path / "one")
    )
    assert not verify(tmp_path / "one" / "journal").damage
    assert pictures[-1]["jobs"][2]["dropped"] == {"formula seen before": 280}


def test_the_same_seed_gives_the_same_numbers(campaign, tmp_path):
    for name in ("one", "two"):
        run(campaign, settings=SETTINGS, folder=tmp_path / name)
    assert drawn(tmp_path / "one") == drawn(tmp_path / "two")


def test_a_detached_campaign_is_watched_stopped_and_resumed(tmp_path):
    file, folder = tmp_path / "slow.toml", tmp_path / "slow"
    file.write_text(SLOW)
    config = tmp_path / "stargen.toml"
    config.write_text("[pool.local.limits]\ncores = 2\n")
    master = detach(file, folder=folder, config=config)
    try:
        with ControlClient.of(folder) as client:
            for picture in client.watch(0.05):
                if picture["jobs"][0]["out"] > 5:
                    break
        with ControlClient.of(folder) as client:
            client.stop()
    finally:
        gone = _wait_until(lambda: process_of(master.pid) is None)
    assert gone
    with pytest.raises(NoMaster):
        ControlClient.of(folder)
    assert "stopped" in master.log.read_text()
    made, _ = results(folder, 0)
    assert 5 < len(made) < 200
    outcome = run(file, settings=SETTINGS, folder=folder)
    assert outcome.state == "done"
    made, _ = results(folder, 0)
    assert sorted(c.candidate_id for c in made) == sorted(f"make/{n}" for n in range(200))


def test_a_detached_master_that_cannot_start_says_why(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text(CAMPAIGN.replace("echo.map", "echo.mop"))
    code = subprocess.run(
        [sys.executable, "-m", "stargen.master.detached", file, "--folder", tmp_path / "bad"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert code.returncode == 2
    assert "echo.mop" in code.stderr
    assert "Traceback" not in code.stderr


@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_ends_it_and_two_end_it_at_once(tmp_path, times):
    seconds = 0.5 if times == 1 else 60
    file, folder = tmp_path / "slow.toml", tmp_path / "slow"
    file.write_text(SLOW.replace("seconds = 0.02", f"seconds = {seconds}"))
    config = tmp_path / "stargen.toml"
    config.write_text("[pool.local.limits]\ncores = 2\n")
    command = [sys.executable, "-m", "stargen.master.detached", file]
    master = subprocess.Popen([*command, "--folder", folder, "--config", config])
    try:
        assert _wait_until(lambda: _running(folder) > 0)
        agent = json.loads((folder / "run" / "agent-local.json").read_text())["pid"]
        for _ in range(times):
            master.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert master.wait(20) == 1
    finally:
        master.kill()
    assert process_of(agent) is None
    made, _ = results(folder, 0)
    assert (len(made) > 0) == (times == 1)  # what ran was let end, or was not


def _running(folder: Path) -> int:
    try:
        with ControlClient.of(folder) as client:
            return sum(job["tasks"]["running"] for job in client.status()["jobs"])
    except NoMaster:
        return 0


def _wait_until(condition, limit_s: float = 20.0) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
