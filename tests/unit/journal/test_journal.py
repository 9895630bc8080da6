from __future__ import annotations

import asyncio
import errno
import json
import os
import sys
from pathlib import Path

import pytest
from support.journals import journal_in, names, open_journal

from stargen.errors import JournalCorrupt, JournalError, JournalFull, JournalLocked
from stargen.files import Filesystem
from stargen.journal import journal as journal_module
from stargen.journal import read_entry, read_records, tail, verify, writer
from stargen.journal.framing import MAX_BODY
from stargen.journal.segments import segment_path
from stargen.model import Location


@pytest.fixture(params=["on the loop", "in the thread"])
def anywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Commits happen on the loop whenever they may, or never."""
    in_thread = request.param == "in the thread"
    monkeypatch.setattr(journal_module, "INLINE_BYTES", -1 if in_thread else 8192)
    monkeypatch.setattr(journal_module, "INLINE_ITEMS", 100_000)
    monkeypatch.setattr(journal_module, "INLINE_BELOW_S", 60.0)
    monkeypatch.setattr(journal_module, "INLINE_SHARE", 1.0)
    monkeypatch.setattr(writer, "RETRY_S", 0.002)
    return request.param


@pytest.mark.usefixtures("anywhere")
async def test_a_record_is_durable_once_and_only_after_the_flush(tmp_path: Path):
    durable: list[int] = []
    points: list[str] = []
    async with journal_in(tmp_path, on_durable=durable.append, observer=points.append) as journal:
        assert journal.append(b"one") == 1
        assert journal.append(b"two") == 2
        await asyncio.sleep(0.01)
        assert (durable, points, journal.durable_position) == ([], [], 0)
        assert journal.pending_bytes == 2 * (9 + 3)
        journal.flush()
        assert durable == []  # never from inside a call
        await journal.until_durable()
        assert (durable, journal.durable_position) == ([2], 2)
        assert points == ["before-write", "after-write", "after-sync"]
        assert journal.pending_bytes == 0
        journal.flush()
        await journal.until_durable()
        assert len(points) == 3
    assert durable == [2]


@pytest.mark.usefixtures("anywhere")
async def test_many_flushes_become_few_groups_in_order(tmp_path: Path):
    durable: list[int] = []
    syncs: list[str] = []
    async with journal_in(tmp_path, on_durable=durable.append, observer=syncs.append) as journal:
        for turn in range(50):
            for _ in range(20):
                journal.append(b"r" * 20)
            journal.flush()
            if turn % 10 == 0:
                await asyncio.sleep(0)
        await journal.until_durable()
        assert durable == sorted(set(durable))
        assert durable[-1] == 1000
        assert syncs.count("after-sync") < 25
    assert [position for position, _ in read_records(tmp_path)] == list(range(1, 1001))


@pytest.mark.usefixtures("anywhere")
async def test_entries_can_be_read_from_the_moment_they_are_appended(tmp_path: Path):
    async with journal_in(tmp_path, segment_bytes=2_000) as journal:
        kept: dict[bytes, Location] = {}
        for number in range(60):
            entries = [b"entry %d.%d " % (number, part) * 5 for part in range(3)]
            segment, offset, size = journal.append_payload(entries)
            assert size == sum(map(len, entries))
            for entry in entries:
                kept[entry] = Location(segment, offset, len(entry))
                offset += len(entry)
            journal.append(b"record")
            if number % 4 == 0:
                journal.flush()
            if number % 7 == 0:
                await asyncio.sleep(0)
            assert all(journal.read(location) == entry for entry, location in kept.items())
            assert journal.read_all(list(kept.values())) == list(kept)
        await journal.until_durable()
        assert all(journal.read(location) == entry for entry, location in kept.items())
    assert segment_path(tmp_path, 5).exists()
    assert all(read_entry(tmp_path, location) == entry for entry, location in kept.items())


async def test_what_was_never_appended_cannot_be_read(tmp_path: Path):
    async with journal_in(tmp_path) as journal:
        location = journal.append_payload([b"entry"])
        beyond = Location(location.segment, location.offset, 6)
        with pytest.raises(JournalCorrupt):
            journal.read(beyond)
        await journal.until_durable()
        with pytest.raises(JournalCorrupt):
            journal.read(beyond)
        with pytest.raises(JournalCorrupt):
            journal.read(Location(7, 64, 1))
        with pytest.raises(JournalCorrupt):
            journal.read_all([location, beyond])


async def test_empty_records_and_payloads_are_kept(tmp_path: Path):
    async with journal_in(tmp_path) as journal:
        assert journal.read(journal.append_payload([])) == b""
        assert journal.read(journal.append_payload([b""])) == b""
        journal.append(b"")
    assert list(read_records(tmp_path)) == [(1, b"")]


async def test_a_frame_larger_than_a_segment_has_one_to_itself(tmp_path: Path):
    async with journal_in(tmp_path, segment_bytes=300) as journal:
        journal.append(b"small")
        location = journal.append_payload([b"x" * 1000])
        journal.append(b"small too")
        await journal.until_durable()
        assert location.segment == 2
        assert journal.read(location) == b"x" * 1000
    assert [s.records for s in verify(tmp_path).segments] == [1, 0, 1]


async def test_a_frame_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert tail.SEGMENT_BYTES <= MAX_BODY  # or the limit would not be looked at
    monkeypatch.setattr(tail, "MAX_BODY", 100)
    async with journal_in(tmp_path, segment_bytes=100) as journal:
        with pytest.raises(ValueError, match="too many for one frame"):
            journal.append(b"x" * 101)
        assert journal.append(b"fine") == 1


@pytest.mark.usefixtures("anywhere")
async def test_a_full_disk_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    room = False
    write = os.pwritev

    def pwritev(fd: int, buffers: list[memoryview], offset: int) -> int:
        if room:
            return write(fd, buffers, offset)
        if len(buffers[0]) > 50:
            return write(fd, [buffers[0][:50]], offset)
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "pwritev", pwritev)
    full: list[bool] = []
    changed = asyncio.Event()

    def on_full(now: bool) -> None:
        full.append(now)
        changed.set()

    async with journal_in(tmp_path, on_full=on_full) as journal:
        locations = [journal.append_payload([b"first" * 50])]
        journal.append(b"one")
        journal.flush()
        async with asyncio.timeout(10):
            await changed.wait()
        assert (full, journal.full, journal.error) == ([True], True, None)
        for number in range(100):
            locations.append(journal.append_payload([b"later %03d" % number]))
            journal.append(b"record")
            journal.flush()
        assert journal.read(locations[0]) == b"first" * 50
        assert journal.read(locations[-1]) == b"later 099"
        assert journal.durable_position == 0
        room = True
        async with asyncio.timeout(10):
            await journal.until_durable()
        assert (full, journal.full, journal.durable_position) == ([True, False], False, 101)
    assert len(list(read_records(tmp_path))) == 101
    assert read_entry(tmp_path, locations[-1]) == b"later 099"
    assert verify(tmp_path).ok


@pytest.mark.usefixtures("anywhere")
async def test_a_sync_that_finds_no_room_is_not_repeated_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sync = os.fdatasync
    calls: list[tuple[str, int]] = []

    def fdatasync(fd: int) -> None:
        calls.append(("sync", fd))
        if len(calls) == 2:
            raise OSError(errno.EDQUOT, "quota exceeded")
        sync(fd)

    write = os.pwritev

    def pwritev(fd: int, buffers: list[memoryview], offset: int) -> int:
        calls.append(("write", offset))
        return write(fd, buffers, offset)

    async with journal_in(tmp_path) as journal:
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        monkeypatch.setattr(os, "pwritev", pwritev)
        journal.append(b"one")
        await journal.until_durable()
        assert [name for name, _ in calls] == ["write", "sync", "write", "sync"]
        assert calls[0] == calls[2]
        monkeypatch.undo()
    assert list(read_records(tmp_path)) == [(1, b"one")]


@pytest.mark.usefixtures("anywhere")
async def test_any_other_error_stops_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    syncs = 0

    def fails(fd: int) -> None:
        nonlocal syncs
        syncs += 1
        raise OSError(errno.EIO, "input/output error")

    errors: list[JournalError] = []
    durable: list[int] = []
    journal = open_journal(tmp_path, on_error=errors.append, on_durable=durable.append)
    monkeypatch.setattr(os, "fdatasync", fails)
    location = journal.append_payload([b"kept"])
    journal.append(b"lost")
    with pytest.raises(JournalError, match="input/output error"):
        await journal.until_durable()
    await asyncio.sleep(0)
    assert [type(error) for error in errors] == [JournalError]
    assert journal.error is errors[0]
    assert journal.read(location) == b"kept"
    for refused in (
        lambda: journal.append(b"more"),
        lambda: journal.append_payload([b"more"]),
        journal.flush,
    ):
        with pytest.raises(JournalError, match="input/output error"):
            refused()
    await journal.close()
    assert (syncs, durable) == (1, [])
    monkeypatch.undo()
    async with journal_in(tmp_path) as journal:
        assert journal.epoch == 2


@pytest.mark.usefixtures("anywhere")
async def test_a_master_that_was_replaced_stops_before_it_writes(tmp_path: Path):
    errors: list[JournalError] = []
    journal = open_journal(tmp_path, on_error=errors.append)
    journal.append(b"one")
    await journal.until_durable()
    size = segment_path(tmp_path, 1).stat().st_size
    successor = {"host": "elsewhere", "pid": 42, "started": 1, "boot": "b", "since": 0.0}
    (tmp_path / "new").write_text(json.dumps(successor))
    (tmp_path / "new").replace(tmp_path / "lock")
    journal.append(b"two")
    with pytest.raises(JournalLocked, match="process 42 on elsewhere"):
        await journal.until_durable()
    with pytest.raises(JournalLocked):
        await journal.snapshot(b"state", 1)
    await journal.close()
    await asyncio.sleep(0)
    assert [type(error) for error in errors] == [JournalLocked]
    assert names(tmp_path, "snapshot*") == []
    assert segment_path(tmp_path, 1).stat().st_size == size
    assert (tmp_path / "lock").exists()


async def test_a_second_journal_is_refused_and_a_closed_one_gives_way(tmp_path: Path):
    async with journal_in(tmp_path):
        with pytest.raises(JournalLocked, match=f"process {os.getpid()}"):
            open_journal(tmp_path)
    async with journal_in(tmp_path) as journal:
        assert journal.recovered.warnings == ()


async def test_closing_writes_what_was_not_flushed(tmp_path: Path):
    journal = open_journal(tmp_path)
    journal.append(b"one")
    await journal.close()
    await journal.close()
    assert list(read_records(tmp_path)) == [(1, b"one")]
    with pytest.raises(JournalError, match="is closed"):
        journal.append(b"two")
    assert names(tmp_path) == ["segment-00000001.log"]


async def test_closing_can_be_given_up_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    journal = open_journal(tmp_path)

    def refuses(fd: int, buffers: list[memoryview], offset: int) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "pwritev", refuses)
    journal.append(b"one")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await journal.close()
    monkeypatch.undo()
    async with journal_in(tmp_path) as journal:
        assert journal.recovered.position == 0


async def test_a_snapshot_waits_for_its_records_and_a_full_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with journal_in(tmp_path) as journal:
        journal.append(b"one")
        await journal.snapshot(b"state", 1)
        assert journal.durable_position == 1

        def refuses(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, "no space left on device")

        monkeypatch.setattr(journal_module, "write_snapshot", refuses)
        with pytest.raises(JournalFull):
            await journal.snapshot(b"state", 1)
        journal.append(b"two")
        await journal.until_durable()
    async with journal_in(tmp_path) as journal:
        assert (journal.recovered.snapshot, journal.recovered.snapshot_position) == (b"state", 1)


async def test_a_folder_that_cannot_be_used_is_a_journal_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be used"):
        open_journal(tmp_path / "file" / "journal")


async def test_the_interpreters_switch_interval_is_given_back(tmp_path: Path):
    before = sys.getswitchinterval()
    async with journal_in(tmp_path):
        assert sys.getswitchinterval() <= writer.SWITCH_S
    assert sys.getswitchinterval() == before


class TestWhereACommitHappens:
    """The rule that chooses between the loop and the thread."""

    @pytest.fixture
    def threads(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Sizes of the groups that went to the thread."""
        sizes: list[int] = []
        put = writer.CommitThread.put

        def notes(self: writer.CommitThread, group: tail.Group) -> None:
            sizes.append(len(group.buffer))
            put(self, group)

        monkeypatch.setattr(writer.CommitThread, "put", notes)
        return sizes

    async def test_a_large_group_goes_to_the_thread(self, tmp_path: Path, threads: list[int]):
        async with journal_in(tmp_path) as journal:
            journal.append(b"x" * journal_module.INLINE_BYTES)
            await journal.until_durable()
            assert len(threads) == 1

    @pytest.mark.parametrize("entries", [8, 9])
    async def test_a_group_of_many_small_things_goes_to_the_thread(
        self, tmp_path: Path, threads: list[int], monkeypatch: pytest.MonkeyPatch, entries: int
    ):
        monkeypatch.setattr(journal_module, "INLINE_BELOW_S", 60.0)
        async with journal_in(tmp_path) as journal:
            journal.append_payload([b"x"] * entries)
            for _ in range(journal_module.INLINE_ITEMS - 8):
                journal.append(b"x")
            await journal.until_durable()
            assert len(threads) == (entries > 8)

    async def test_what_is_committed_on_the_loop_is_durable_at_once_and_told_of_later(
        self, tmp_path: Path, threads: list[int], monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(journal_module, "INLINE_BELOW_S", 60.0)
        told: list[int] = []
        async with journal_in(tmp_path, on_durable=told.append) as journal:
            journal.append(b"x")
            journal.flush()
            assert (journal.durable_position, told, threads) == (1, [], [])
            await journal.until_durable()
            assert told == [1]

    async def test_a_slow_disk_is_left_to_the_thread(
        self, tmp_path: Path, threads: list[int], monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(journal_module, "INLINE_BELOW_S", 0.0)
        async with journal_in(tmp_path) as journal:
            for count in (1, 2, 3):
                journal.append(b"x")
                await journal.until_durable()
                assert len(threads) == count

    async def test_a_network_disk_is_left_to_the_thread(
        self, tmp_path: Path, threads: list[int], monkeypatch: pytest.MonkeyPatch
    ):
        network = Filesystem("nfs", tmp_path, network=True)
        monkeypatch.setattr(journal_module, "filesystem_of", lambda path: network)
        async with journal_in(tmp_path) as journal:
            for count in (1, 2, 3):
                journal.append(b"x")
                await journal.until_durable()
                assert len(threads) == count

    async def test_the_loop_spends_no_more_than_its_share(
        self, tmp_path: Path, threads: list[int], monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(journal_module, "INLINE_BELOW_S", 60.0)
        monkeypatch.setattr(journal_module, "INLINE_SHARE", 1e-9)
        async with journal_in(tmp_path) as journal:
            for count in (0, 1, 2):
                journal.append(b"x")
                await journal.until_durable()
                assert len(threads) == count
