from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.journals import journal_in, write

from stargen.journal import Damage, SegmentReport, verify
from stargen.journal.framing import HEADER_SIZE, RECORD, frame_head
from stargen.journal.segments import segment_path
from stargen.journal.snapshots import Snapshot, snapshot_path, write_snapshot
from stargen.version import __version__

RECORDS = [b"record %d" % i for i in range(1, 19)]


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    await write(tmp_path, RECORDS, segment_bytes=600)
    write_snapshot(tmp_path, Snapshot(18, 1, b"state"))
    return tmp_path


def test_a_good_journal_is_counted(folder: Path):
    report = verify(folder)
    assert report.ok
    assert report.records == 18
    assert report.bytes == sum(path.stat().st_size for path in folder.glob("*.log"))
    first = report.segments[0]
    assert first == SegmentReport(
        name="segment-00000001.log",
        version=__version__,
        epoch=1,
        bytes=segment_path(folder, 1).stat().st_size,
        before=0,
        records=first.records,
        payloads=first.records,
        payload_bytes=sum(len(b"payload of " + r) for r in RECORDS[: first.records]),
    )
    assert [s.before for s in report.segments] == [0, first.records, 2 * first.records]
    assert [s.position for s in report.snapshots] == [18]


def test_nothing_is_fine_too(tmp_path: Path):
    report = verify(tmp_path)
    assert (report.ok, report.records, report.segments) == (True, 0, ())


@pytest.mark.parametrize("part", ["record", "payload"])
def test_each_damaged_segment_is_named_with_its_first_bad_byte(folder: Path, part: str):
    expected = []
    for number in (1, 3):
        path = segment_path(folder, number)
        data = bytearray(path.read_bytes())
        at = data.index(b"payload of") - 9
        if part == "record":
            record = RECORDS[0 if number == 1 else 2 * verify(folder).segments[0].records]
            at = data.index(frame_head(RECORD, record))
        data[at + 9] ^= 1
        path.write_bytes(data)
        expected.append(Damage(path.name, at, "a frame's checksum is wrong"))
    report = verify(folder)
    assert not report.ok
    assert list(report.damage) == expected
    assert [s.name for s in report.segments] == ["segment-00000002.log"]


def test_an_unfinished_end_is_no_damage(folder: Path):
    path = segment_path(folder, 3)
    with path.open("ab") as file:
        file.write(b"half a fr")
    segment_path(folder, 4).write_bytes(b"STAR")
    report = verify(folder)
    assert report.ok
    assert [s.unfinished for s in report.segments] == [0, 0, 9]


async def test_what_a_replaced_master_wrote_is_ignored(folder: Path):
    async with journal_in(folder):
        pass
    with segment_path(folder, 3).open("ab") as file:
        file.write(b"too late")
    report = verify(folder)
    assert report.ok
    assert [s.ignored for s in report.segments] == [0, 0, 8, 0]


def test_lost_ends_headers_and_segments_are_damage(folder: Path):
    second = segment_path(folder, 2)
    whole = second.read_bytes()
    os.truncate(second, len(whole) - 2)
    assert [(d.file, d.problem) for d in verify(folder).damage] == [
        (second.name, "a frame is cut short")
    ]
    os.truncate(second, 10)
    assert verify(folder).damage == (Damage(second.name, 0, "the header is damaged"),)
    second.unlink()
    assert verify(folder).damage == (Damage(second.name, 0, "this segment is missing"),)
    second.write_bytes(bytes(1) + whole[1:])
    assert verify(folder).damage == (Damage(second.name, 0, "the header is damaged"),)
    second.write_bytes(whole)
    assert verify(folder).ok


def test_a_wrong_count_of_records_is_damage(folder: Path):
    first, second = segment_path(folder, 1), segment_path(folder, 2)
    second.write_bytes(second.read_bytes()[:HEADER_SIZE] + first.read_bytes()[HEADER_SIZE:])
    assert not verify(folder).ok


def test_a_snapshot_that_cannot_be_read_is_told(folder: Path):
    path = snapshot_path(folder, 18)
    path.write_bytes(path.read_bytes()[:-1])
    report = verify(folder)
    assert not report.ok
    assert not report.damage
    assert [s.position for s in report.snapshots] == [None]
