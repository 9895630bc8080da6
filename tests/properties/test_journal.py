"""What a journal promises, whatever happens to it."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import journal_process
from support.journal_process import append, check
from support.journals import journal_in, open_journal

from stargen.errors import JournalCorrupt
from stargen.journal import Damage, read_entry, read_records, verify
from stargen.journal.framing import HEADER_SIZE
from stargen.model import Location

PROCESS = [sys.executable, journal_process.__file__]
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where thousands of syncs cost nothing; what a crash leaves is staged, not waited for."""


@contextmanager
def fresh_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="stargen-test-") as name:
        yield Path(name)


def log_of(folder: Path) -> dict[str, bytes]:
    """The segments in order."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("segment-*"))}


async def stage(folder: Path, *, closed: bool) -> dict[str, bytes]:
    """The log of a master that wrote 14 records in 3 segments, and was closed or killed."""
    journal = open_journal(folder, segment_bytes=450)
    for size in (1, 2, 1, 5, 3, 2):
        for _ in range(size):
            append(journal, journal.position + 1)
        await journal.until_durable()
    log = log_of(folder)
    await journal.close()
    return log_of(folder) if closed else log


def put(folder: Path, log: dict[str, bytes]) -> None:
    for path in folder.iterdir():
        path.unlink()
    for name, data in log.items():
        (folder / name).write_bytes(data)


async def reopen(folder: Path) -> tuple[int, tuple[str, ...]]:
    """Open and check everything; the number of records, which are the first ones, and warnings."""
    async with journal_in(folder) as journal:
        count = 0
        for count, record in journal.recovered.records:
            check(folder, journal, count, record)
        assert count == journal.recovered.position
        append(journal, count + 1)
    assert verify(folder).ok
    assert verify(folder).records == count + 1
    return count, journal.recovered.warnings


async def test_a_journal_cut_at_any_byte_reopens_to_a_prefix():
    with fresh_folder() as folder:
        log = await stage(folder, closed=False)
        assert len(log) == 3
        counts = []
        for number, (name, data) in enumerate(log.items()):
            earlier = dict(list(log.items())[:number])
            for size in range(len(data) + 1):
                put(folder, {**earlier, name: data[:size]})
                count, warnings = await reopen(folder)
                counts.append(count)
                assert size == len(data) or len(warnings) <= 1
        assert counts == sorted(counts)
        assert set(counts) == set(range(15))


@pytest.mark.parametrize("closed", [True, False])
async def test_a_flipped_byte_is_reported_or_cut_and_never_believed(closed: bool):
    rng = random.Random(7)
    with fresh_folder() as folder:
        log = await stage(folder, closed=closed)
        last = list(log)[-1]
        outcomes = {"reported": 0, "cut": 0}
        for name, data in log.items():
            for place in range(len(data)):
                flipped = bytearray(data)
                flipped[place] ^= rng.randrange(1, 256)
                put(folder, {**log, name: bytes(flipped)})
                found = list(_read_what_can_be_read(folder))
                assert [position for position, _ in found] == list(range(1, len(found) + 1))
                assert all(any(record in part for part in log.values()) for _, record in found)
                damage = verify(folder).damage
                if damage:
                    outcomes["reported"] += 1
                    with pytest.raises(JournalCorrupt) as caught:
                        await reopen(folder)
                    told = Damage(caught.value.segment, caught.value.offset, caught.value.problem)
                    assert damage[0] == told
                    assert told.file == name
                    assert told.offset <= place
                else:
                    outcomes["cut"] += 1
                    count, warnings = await reopen(folder)
                    assert name == last
                    assert len(warnings) == 1
                    assert count >= (14 if closed else 12)  # the last group has two records
        assert outcomes["reported"] > 10 * outcomes["cut"] > 0 or not closed


async def test_what_a_power_cut_leaves_of_an_unsynced_group_is_cut():
    """Pages reach the disk in any order: a later part may be there without an earlier one."""
    images: list[tuple[dict[str, bytes], int, int]] = []
    synced = 0
    with fresh_folder() as folder:

        def observe(point: str) -> None:
            nonlocal synced
            log = log_of(folder)
            if point == "after-write":
                images.append((log, synced, journal.durable_position))
            elif point == "after-sync":
                synced = len(log["segment-00000001.log"])

        journal = open_journal(folder, observer=observe)
        synced = HEADER_SIZE
        for turn in range(12):
            for _ in range(turn % 4):
                append(journal, journal.position + 1)
                journal.flush()
            await asyncio.sleep(0.001)
        await journal.close()
        rng = random.Random(3)
        assert len(images) > 8
        for log, start, durable in images * 6:
            ((name, data),) = log.items()
            hole = sorted(rng.randrange(start, len(data) + 1) for _ in range(2))
            torn = data[: hole[0]] + bytes(hole[1] - hole[0]) + data[hole[1] :]
            put(folder, {name: torn})
            assert verify(folder).ok
            count, warnings = await reopen(folder)
            assert count >= durable
            assert len(warnings) <= 1


def _read_what_can_be_read(folder: Path) -> Iterator[tuple[int, bytes]]:
    try:
        yield from read_records(folder)
    except JournalCorrupt:
        return


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_whatever_is_appended_comes_back(data: st.DataObject):
    sizes = st.integers(0, 400)
    step = st.one_of(
        st.tuples(st.just("record"), st.binary(max_size=200)),
        st.tuples(st.just("payload"), st.lists(st.binary(max_size=300), max_size=4)),
        st.tuples(st.just("flush"), st.none()),
        st.tuples(st.just("wait"), st.none()),
        st.tuples(st.just("snapshot"), st.none()),
    )
    epochs = data.draw(st.lists(st.lists(step, max_size=25), min_size=1, max_size=3))
    segment_bytes = 100 + data.draw(sizes)
    with fresh_folder() as folder:
        asyncio.run(_append_all(folder, epochs, segment_bytes))


async def _append_all(folder: Path, epochs: list[list[tuple[str, object]]], size: int) -> None:
    records: list[bytes] = []
    entries: dict[Location, bytes] = {}
    for steps in epochs:
        async with journal_in(folder, segment_bytes=size) as journal:
            covered = journal.recovered.snapshot_position
            if covered:
                assert journal.recovered.snapshot == b"|".join(records[:covered])
            assert [r for _, r in journal.recovered.records] == records[covered:]
            for what, value in steps:
                if what == "record":
                    records.append(value)
                    assert journal.append(value) == len(records)
                elif what == "payload":
                    segment, offset, _ = journal.append_payload(value)
                    for entry in value:
                        entries[Location(segment, offset, len(entry))] = entry
                        offset += len(entry)
                elif what == "flush":
                    journal.flush()
                elif what == "wait":
                    await journal.until_durable()
                    assert journal.durable_position == len(records)
                else:
                    await journal.snapshot(b"|".join(records), len(records))
                assert all(journal.read(place) == entry for place, entry in entries.items())
    assert list(read_records(folder)) == list(enumerate(records, start=1))
    assert all(read_entry(folder, place) == entry for place, entry in entries.items())
    report = verify(folder)
    assert report.ok
    assert report.records == len(records)


@pytest.mark.parametrize(
    ("point", "times"),
    [("", chance) for chance in range(4)]
    + [(point, n) for point in ("before-write", "after-write", "after-sync") for n in (1, 9)],
)
def test_a_killed_writer_loses_nothing_that_it_called_durable(
    tmp_path: Path, point: str, times: int
):
    """Killed by chance, or at a named point; three masters one after another on one journal."""
    durable = 0
    for seed in range(10 * times, 10 * times + 3):
        with subprocess.Popen(
            [*PROCESS, "write", str(tmp_path), str(seed), point, str(times)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            first = process.stdout.readline()
            assert int(first or b"-1") >= durable, process.stderr.read().decode()
            if not point:
                time.sleep(random.Random(seed).uniform(0.02, 0.15))
                process.kill()
            told = process.stdout.read().splitlines(keepends=True)
            process.wait(timeout=20)
            assert process.returncode == -9, process.stderr.read().decode()
        whole = [int(line) for line in (first, *told) if line.endswith(b"\n")]
        assert whole == sorted(whole)
        durable = whole[-1]
    survived = asyncio.run(reopen(tmp_path))[0]
    assert survived >= durable
    assert survived > 0 or point in ("", "before-write")


def test_a_reader_in_another_process_sees_every_record_once(tmp_path: Path):
    count = 3_000
    reader = subprocess.Popen(
        [*PROCESS, "read", str(tmp_path), str(count)], stdout=subprocess.PIPE, text=True
    )
    try:
        subprocess.run([*PROCESS, "write-all", str(tmp_path), str(count)], check=True, timeout=60)
        out, _ = reader.communicate(timeout=60)
    finally:
        reader.kill()
        reader.wait()
    assert out == f"{count}\n"
    assert len(verify(tmp_path).segments) > 5


def test_a_full_disk_pauses_the_journal_and_room_resumes_it(tmp_path: Path):
    """On a real file system of 256 KiB, in a mount namespace of its own."""
    script = 'mount -t tmpfs -o size=256k tmpfs "$1" && exec "$2" "$3" fill "$1"'
    for flags in (["-m"], ["-U", "-r", "-m"]):
        unshare = shutil.which("unshare")
        if unshare is None:
            pytest.skip("there is no unshare to make a mount namespace with")
        namespace = [unshare, *flags]
        allowed = subprocess.run(
            [*namespace, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)],
            capture_output=True,
            check=False,
        )
        if allowed.returncode == 0:
            break
    else:
        pytest.skip(f"no mount namespace of one's own: {allowed.stderr.decode().strip()}")
    done = subprocess.run(
        [*namespace, "sh", "-c", script, "sh", str(tmp_path), *PROCESS],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ},
    )
    assert (done.stdout, done.returncode) == ("went on\n", 0), done.stderr
