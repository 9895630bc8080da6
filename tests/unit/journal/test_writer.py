from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stargen.journal.framing import HEADER_SIZE, MARK_SIZE
from stargen.journal.lock import acquire
from stargen.journal.recovery import End
from stargen.journal.segments import read_header, segment_path
from stargen.journal.tail import Group
from stargen.journal.writer import SegmentWriter


@pytest.fixture
def points() -> list[str]:
    return []


@pytest.fixture
def writer(tmp_path: Path, points: list[str]) -> Iterator[SegmentWriter]:
    lock = acquire(tmp_path, 0.0)
    writer = SegmentWriter(tmp_path, End(2, 5, 777, 40), lock, points.append)
    yield writer
    writer.close()
    lock.release()


def group(segment: int, offset: int, size: int) -> Group:
    return Group(segment, offset, 40, 40, bytearray(MARK_SIZE) + bytearray(b"x" * size))


def test_a_new_segment_says_where_the_last_one_ended(tmp_path: Path, writer: SegmentWriter):
    header = read_header(segment_path(tmp_path, 3))
    assert header is not None
    assert (header.epoch, header.before, header.previous) == (6, 40, 777)
    assert writer.epoch == 6


def test_groups_are_written_together_and_synced_once(
    tmp_path: Path, writer: SegmentWriter, points: list[str]
):
    first = group(3, HEADER_SIZE, 10)
    writer.commit([first, group(3, first.end, 20)])
    assert points == ["before-write", "after-write", "after-sync"]
    assert writer.synced == segment_path(tmp_path, 3).stat().st_size == first.end + MARK_SIZE + 20


def test_a_group_of_the_next_segment_makes_it(tmp_path: Path, writer: SegmentWriter):
    first = group(3, HEADER_SIZE, 10)
    writer.commit([first])
    writer.commit([group(4, HEADER_SIZE, 5)])
    header = read_header(segment_path(tmp_path, 4))
    assert header is not None
    assert (header.segment, header.previous) == (4, first.end)


def test_a_system_that_writes_in_parts_is_asked_again(
    tmp_path: Path, writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
):
    whole = os.pwritev
    monkeypatch.setattr(
        os, "pwritev", lambda fd, buffers, offset: whole(fd, [bytes(buffers[0])[:7]], offset)
    )
    first = group(3, HEADER_SIZE, 10)
    second = group(3, first.end, 20)
    writer.commit([first, second])
    written = segment_path(tmp_path, 3).read_bytes()[HEADER_SIZE:]
    assert written == bytes(first.buffer + second.buffer)


def test_a_group_written_again_is_the_same(tmp_path: Path, writer: SegmentWriter):
    groups = [group(3, HEADER_SIZE, 10)]
    synced = writer.synced
    writer.commit(groups)
    before = segment_path(tmp_path, 3).read_bytes()
    writer.synced = synced  # as if the sync had failed
    writer.reopen()
    writer.commit(groups)
    assert segment_path(tmp_path, 3).read_bytes() == before
