"""Trouble around a campaign: a second master, damage, a full disk, a database out of reach."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.checker import Books
from support.real_campaigns import Desk, RealCampaign, kill, wait_for

from stargen.master.control import ControlClient, NoMaster

NAME = "faults"
COUNT = 300

TEXT = """
[campaign]
name = "faults"
database = "sqlite:///faults.db"
[[job]]
name = "make"
use = "echo.source"
params = {{ count = {count}, payload_bytes = {payload}, seconds = {seconds} }}
grain = 5
[[job]]
name = "pass"
input = "make"
use = "echo.map"
"""

QUICK = TEXT.format(count=COUNT, payload=100, seconds=0)
SLOW = TEXT.format(count=COUNT, payload=100, seconds=0.02)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    assert not desk.sweep(), "processes were left over"


def journal_of(desk: Desk) -> Path:
    return desk.base / "campaigns" / NAME / "journal"


def wait_for_master(desk: Desk) -> None:
    def answers() -> bool:
        try:
            ControlClient.of(desk.base / "campaigns" / NAME).close()
        except NoMaster:
            return False
        return True

    assert wait_for(answers, 20.0)


def check(desk: Desk) -> Books:
    """Journal and database are complete, and agree."""
    books = Books(journal_of(desk))
    books.check_complete()
    assert len(books.contents("pass")) == COUNT
    books.check_database(desk.base / "faults.db")
    return books


# --- two masters ----------------------------------------------------------------------------------


def test_a_second_master_is_refused_and_told_who_has_the_campaign(desk: Desk) -> None:
    desk.write("campaign.toml", SLOW)
    first = desk.start("up", "campaign.toml")
    wait_for_master(desk)
    code, said = desk.stargen("up", "campaign.toml")
    assert code == 2, said
    assert f"process {first.pid}" in said
    assert "Traceback" not in said
    text, _ = first.communicate(timeout=60)
    assert first.returncode == 0, text
    assert len(check(desk).epochs) == 1


def test_an_agent_that_no_master_asks_for_ends_with_its_lease(desk: Desk) -> None:
    desk.write("campaign.toml", SLOW)
    desk.write("stargen.toml", "[master]\nheartbeat_s = 0.2\nlost_after_s = 1\nlease_s = 2\n")
    first = desk.start("up", "campaign.toml")
    wait_for_master(desk)
    assert wait_for(lambda: len(desk.workers()) == 2, 20.0)
    kill(first.pid)
    first.communicate(timeout=60)
    assert desk.agents(), "the agent went with its master"
    assert not desk.wait_until_gone(30.0), "the agent outlives its lease"
    code, said = desk.stargen("up", "campaign.toml")
    assert code == 0, said
    check(desk)


# --- a damaged journal ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of somebody whose campaign is done."""
    desk = Desk(tmp_path_factory.mktemp("done"))
    desk.write("campaign.toml", QUICK)
    code, said = desk.stargen("up", "campaign.toml")
    assert code == 0, said
    check(desk)
    assert not desk.sweep()
    return desk.base


@pytest.fixture
def again(done: Path, desk: Desk) -> Desk:
    """A copy of it."""
    shutil.copytree(done, desk.base, dirs_exist_ok=True)
    return desk


def test_a_flipped_byte_is_reported_with_its_place(again: Desk) -> None:
    for snapshot in journal_of(again).glob("snapshot-*"):
        snapshot.unlink()
    (segment,) = journal_of(again).glob("segment-*.log")
    data = bytearray(segment.read_bytes())
    at = len(data) // 2
    data[at] ^= 0xFF
    segment.write_bytes(data)
    code, said = again.stargen("journal", "verify")
    assert code != 0
    assert segment.name in said
    code, said = again.stargen("up", "campaign.toml")
    assert code == 2, said
    assert f"{segment.name} at byte" in said
    offset = int(said.split("at byte ")[1].split(":")[0])
    assert offset <= at < offset + 100_000
    assert "Traceback" not in said


def test_damage_behind_the_snapshot_is_told_and_the_campaign_goes_on(again: Desk) -> None:
    code, said = again.stargen("up", "campaign.toml")
    assert (code, "journal:" in said) == (0, False), said
    first, _ = sorted(journal_of(again).glob("segment-*.log"))
    data = bytearray(first.read_bytes())
    at = len(data) // 2
    data[at] ^= 0xFF
    first.write_bytes(data)
    code, said = again.stargen("up", "campaign.toml")
    assert code == 0, said
    assert f"journal: {first.name} at byte" in said
    offset = int(said.split(f"{first.name} at byte ")[1].split(":")[0])
    assert offset <= at < offset + 100_000
    (damage,) = json.loads(again.stargen("journal", "verify", "--json")[1])["damage"]
    assert damage["offset"] == offset
    alerts = json.loads(again.stargen("status", "--json")[1])["alerts"]
    assert any(f"{first.name} at byte {offset}" in alert["text"] for alert in alerts)


def test_a_torn_end_is_cut_with_a_warning_and_the_campaign_goes_on(again: Desk) -> None:
    (segment,) = journal_of(again).glob("segment-*.log")
    with segment.open("ab") as file:
        file.write(b"half a frame")
    code, said = again.stargen("up", "campaign.toml")
    assert code == 0, said
    check(again)


CUTS = (0.0, 0.0005, 0.2, 0.5, 0.7, 0.95)
"""Parts of the journal that are left; the journal's own tests cut a small one at every byte."""


def test_a_journal_cut_anywhere_goes_on_to_the_same_end(done: Path, tmp_path: Path) -> None:
    wanted = Books(done / "campaigns" / NAME / "journal").contents("pass")
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(_cut_and_go_on, done, tmp_path / str(part), part) for part in CUTS]
        for future in futures:
            desk, at, code, said = future.result()
            assert code == 0, f"cut at byte {at}: {said}"
            assert check(desk).contents("pass") == wanted, f"cut at byte {at}"


def _cut_and_go_on(done: Path, base: Path, part: float) -> tuple[Desk, int, int, str]:
    """A copy of a campaign whose disk lost all behind some byte, and what `up` makes of it."""
    shutil.copytree(done, base)
    desk = Desk(base)
    for lost in (*journal_of(desk).glob("snapshot-*"), *base.glob("faults.db*")):
        lost.unlink()
    (segment,) = journal_of(desk).glob("segment-*.log")
    at = round(part * segment.stat().st_size)
    os.truncate(segment, at)
    code, said = desk.stargen("up", "campaign.toml")
    desk.sweep()
    return desk, at, code, said


# --- the database ---------------------------------------------------------------------------------


def test_a_deleted_database_is_rebuilt_from_the_journal(again: Desk) -> None:
    for path in again.base.glob("faults.db*"):
        path.unlink()
    code, said = again.stargen("up", "campaign.toml")
    assert code == 0, said
    check(again)


def test_a_database_deleted_while_it_is_written_is_rebuilt(desk: Desk) -> None:
    desk.write("campaign.toml", SLOW)
    master = desk.start("up", "campaign.toml")
    database = desk.base / "faults.db"
    assert wait_for(lambda: database.exists() and _position(database) > 20, 20.0)
    for path in desk.base.glob("faults.db*"):
        path.unlink()
    text, _ = master.communicate(timeout=60)
    assert master.returncode == 0, text
    check(desk)


def test_a_database_that_is_locked_for_a_while_gets_everything_in_the_end(desk: Desk) -> None:
    desk.write("campaign.toml", SLOW)
    master = desk.start("up", "campaign.toml")
    database = desk.base / "faults.db"
    assert wait_for(lambda: database.exists() and _position(database) > 20, 20.0)
    with closing(sqlite3.connect(database, timeout=20.0, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(2.0)
        other.execute("ROLLBACK")
    text, _ = master.communicate(timeout=60)
    assert master.returncode == 0, text
    check(desk)


def _position(database: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT position FROM run").fetchall()
    except sqlite3.OperationalError:
        return 0
    return rows[0][0] if rows else 0


# --- the disk -------------------------------------------------------------------------------------

SMALL_MIB, LARGE_MIB = 4, 64
FULL = TEXT.format(count=COUNT, payload=8_000, seconds=0).replace("faults.db", "out/faults.db")


def private_disk(base: Path) -> list[str]:
    """A command that gives what it runs a small disk of its own at `base`/out."""
    mount = f'mount -t tmpfs -o size={SMALL_MIB}m tmpfs "$0" && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", mount, str(base / "out")]


def can_mount(base: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    (base / "out").mkdir(parents=True, exist_ok=True)
    done = subprocess.run([*private_disk(base), "true"], capture_output=True, check=False)
    return done.returncode == 0


def test_a_full_disk_pauses_the_campaign_until_there_is_room(tmp_path: Path) -> None:
    """Journal, agent's spool, scratch and database share a disk that holds half of it all."""
    if not can_mount(tmp_path):
        pytest.skip("needs a mount namespace of its own: unshare --mount and mount")
    campaign = RealCampaign(tmp_path, FULL)
    holder = subprocess.Popen([*private_disk(tmp_path), "sleep", "240"], env=campaign.environment())
    enter = ["nsenter", f"--target={holder.pid}", "--mount"]
    try:
        inside = Path(f"/proc/{holder.pid}/root") / campaign.folder.relative_to("/")
        assert wait_for(lambda: os.path.ismount(inside))
        master = campaign.start((), *enter, "--wd=/")
        assert wait_for(lambda: _is_full(campaign), 60.0), campaign.said()
        time.sleep(1.0)
        assert master.poll() is None, "the master gave up"
        before = _status(campaign)["journal"]["durable"]
        look = [sys.executable, "-m", "stargen.cli", "status", "--campaign", str(campaign.folder)]
        seen = subprocess.run(
            [*enter, *look], capture_output=True, text=True, env=campaign.environment(), check=False
        )
        assert "disk" in seen.stdout, seen
        subprocess.run(
            [*enter, "mount", "-o", f"remount,size={LARGE_MIB}m", str(campaign.folder)], check=True
        )
        assert campaign.wait(master) == 0, campaign.said()
        shutil.copytree(inside / "journal", tmp_path / "journal")
        shutil.copy(inside / "faults.db", tmp_path)
    finally:
        kill(holder.pid)
        holder.wait()
        campaign.sweep()
    books = Books(tmp_path / "journal")
    books.check_complete()
    books.check_database(tmp_path / "faults.db")
    assert books.position > before
    assert len(books.contents("pass")) == COUNT


def _status(campaign: RealCampaign) -> dict[str, Any]:
    with ControlClient.of(campaign.folder) as master:
        return master.status()


def _is_full(campaign: RealCampaign) -> bool:
    try:
        return bool(_status(campaign)["journal"]["full"])
    except NoMaster:
        return False
