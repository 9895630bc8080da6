from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.journals import journal_in, names, open_journal, write

from stargen.clock import ManualClock
from stargen.errors import JournalCorrupt
from stargen.journal import read_records, repair
from stargen.journal.framing import HEAD_SIZE, RECORD, frame_head
from stargen.journal.lock import acquire
from stargen.journal.recovery import recover
from stargen.journal.segments import read_header, segment_path
from stargen.journal.snapshots import Snapshot, snapshot_path, write_snapshot

RECORDS = [b"record %d" % i for i in range(1, 11)]


async def left_open(folder: Path, records: list[bytes]) -> None:
    """What a master leaves that is killed after its last group."""
    journal = open_journal(folder)
    for record in records:
        journal.append(record)
        await journal.until_durable()
    before = {folder / name: (folder / name).read_bytes() for name in names(folder, "segment*")}
    await journal.close()
    for path, data in before.items():
        path.write_bytes(data)


async def test_a_new_journal_is_empty(tmp_path: Path):
    async with journal_in(tmp_path / "deep" / "journal") as journal:
        assert journal.epoch == 1
        assert journal.recovered.snapshot is None
        assert journal.recovered.position == journal.position == journal.durable_position == 0
        assert list(journal.recovered.records) == []
        assert journal.recovered.warnings == ()


async def test_records_and_counts_go_on_from_epoch_to_epoch(tmp_path: Path):
    for epoch in (1, 2, 3):
        async with journal_in(tmp_path) as journal:
            assert journal.epoch == epoch
            assert list(journal.recovered.records) == list(enumerate(RECORDS, 1))[: epoch - 1]
            assert journal.append(RECORDS[epoch - 1]) == epoch


async def test_the_end_is_cut_with_a_warning_that_says_where(tmp_path: Path):
    await left_open(tmp_path, RECORDS)
    path = segment_path(tmp_path, 1)
    size = path.stat().st_size
    os.truncate(path, size - 1)
    async with journal_in(tmp_path) as journal:
        assert [record for _, record in journal.recovered.records] == RECORDS[:-1]
        (warning,) = journal.recovered.warnings
        assert f"from byte {size - HEAD_SIZE - len(RECORDS[-1])} on, were half written" in warning
        assert journal.append(b"again") == 10
    assert [record for _, record in read_records(tmp_path)] == [*RECORDS[:-1], b"again"]


async def test_a_segment_that_was_torn_in_making_is_removed(tmp_path: Path):
    await left_open(tmp_path, RECORDS)
    segment_path(tmp_path, 2).write_bytes(b"STARG")
    async with journal_in(tmp_path) as journal:
        assert journal.recovered.position == 10
        assert any("segment-00000002.log was torn" in w for w in journal.recovered.warnings)
        assert journal.epoch == 2


async def test_a_synced_end_that_is_gone_bad_is_not_cut(tmp_path: Path):
    await write(tmp_path, RECORDS)
    path = segment_path(tmp_path, 1)
    data = bytearray(path.read_bytes())
    at = data.index(frame_head(RECORD, RECORDS[-1]))
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalCorrupt) as caught:
        open_journal(tmp_path)
    assert (caught.value.segment, caught.value.offset) == (path.name, at)
    assert path.read_bytes() == data
    assert not (tmp_path / "lock").exists()


async def test_replay_begins_behind_the_snapshot(tmp_path: Path):
    async with journal_in(tmp_path, segment_bytes=150) as journal:
        for record in RECORDS:
            journal.append(record)
            await journal.until_durable()
        await journal.snapshot(b"state", 7)
        await journal.snapshot(b"state of eight", 8)
        assert read_header(segment_path(tmp_path, 3)) is not None
    async with journal_in(tmp_path) as journal:
        assert journal.recovered.snapshot == b"state of eight"
        assert journal.recovered.snapshot_position == 8
        assert list(journal.recovered.records) == [(9, RECORDS[8]), (10, RECORDS[9])]
    snapshot_path(tmp_path, 8).write_bytes(b"bad")
    (tmp_path / "snapshot-000000000009.state.17.tmp").write_bytes(b"half")
    async with journal_in(tmp_path) as journal:
        assert journal.recovered.snapshot == b"state"
        assert [position for position, _ in journal.recovered.records] == [8, 9, 10]
        assert len(journal.recovered.warnings) == 1
    assert names(tmp_path, "*.tmp") == []


async def test_damage_that_no_replay_meets_does_not_stop_the_master(tmp_path: Path):
    async with journal_in(tmp_path, segment_bytes=150) as journal:
        for record in RECORDS:
            journal.append(record)
            await journal.until_durable()
        await journal.snapshot(b"state", 10)
    data = bytearray(segment_path(tmp_path, 1).read_bytes())
    data[100] ^= 1
    segment_path(tmp_path, 1).write_bytes(data)
    async with journal_in(tmp_path) as journal:
        assert journal.recovered.snapshot == b"state"
        assert list(journal.recovered.records) == []


async def test_a_log_that_ends_before_its_snapshot_is_corrupt(tmp_path: Path):
    await left_open(tmp_path, RECORDS)
    async with journal_in(tmp_path) as journal:
        await journal.snapshot(b"state", 10)
    segment_path(tmp_path, 2).unlink()
    os.truncate(segment_path(tmp_path, 1), 200)
    with pytest.raises(JournalCorrupt, match="a snapshot was taken at 10"):
        open_journal(tmp_path)


async def test_a_snapshot_that_a_replaced_master_took_too_late_is_not_used(tmp_path: Path):
    await write(tmp_path, RECORDS[:6])
    await write(tmp_path, RECORDS[6:])
    write_snapshot(tmp_path, Snapshot(6, 1, b"six"))
    write_snapshot(tmp_path, Snapshot(8, 1, b"eight others"))
    async with journal_in(tmp_path) as journal:
        assert journal.recovered.snapshot == b"six"
        assert [position for position, _ in journal.recovered.records] == [7, 8, 9, 10]
        (warning,) = journal.recovered.warnings
        assert "replaced" in warning


async def test_inner_damage_is_found_before_anything_runs(tmp_path: Path):
    await write(tmp_path, RECORDS, segment_bytes=150)
    path = segment_path(tmp_path, 2)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalCorrupt, match=r"segment-00000002\.log"):
        open_journal(tmp_path)


async def test_repair_cuts_the_end_and_nothing_else(tmp_path: Path):
    await left_open(tmp_path, RECORDS)
    path = segment_path(tmp_path, 1)
    with path.open("ab") as file:
        file.write(b"half a frame")
    (report,) = repair(tmp_path, clock=ManualClock())
    assert "its last 12 bytes" in report
    assert repair(tmp_path, clock=ManualClock()) == []
    assert [record for _, record in read_records(tmp_path)] == RECORDS
    assert names(tmp_path) == [path.name]


async def test_recovery_is_the_same_when_it_was_itself_interrupted(tmp_path: Path):
    await left_open(tmp_path, RECORDS)
    with segment_path(tmp_path, 1).open("ab") as file:
        file.write(b"half a frame")
    lock = acquire(tmp_path, 0.0)
    first, end = recover(tmp_path)
    again, same = recover(tmp_path)
    lock.release()
    assert list(first.records) == list(again.records)
    assert end == same
    assert (len(first.warnings), again.warnings) == (1, ())
