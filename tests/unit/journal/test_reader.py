from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.journals import journal_in, names, write

from stargen.errors import JournalCorrupt, JournalError
from stargen.journal import RecordReader, frames, read_entry, read_records
from stargen.journal.framing import RECORD, encode_header, frame_head
from stargen.journal.segments import read_header, segment_path
from stargen.model import Location

RECORDS = [b"record %d" % i for i in range(1, 41)]
NUMBERED = list(enumerate(RECORDS, start=1))


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """Forty records in several segments of two epochs."""
    await write(tmp_path, RECORDS[:25], segment_bytes=700)
    await write(tmp_path, RECORDS[25:], segment_bytes=700)
    assert segment_path(tmp_path, 5).exists()
    return tmp_path


@pytest.mark.parametrize("after", [0, 1, 12, 25, 39, 40])
def test_what_lies_behind_a_position_is_read(folder: Path, after: int):
    assert list(read_records(folder, after)) == NUMBERED[after:]


@pytest.mark.parametrize("until", [0, 1, 12, 25, 26, 40])
def test_no_more_is_read_than_asked_for(folder: Path, until: int):
    assert list(read_records(folder, 0, until)) == NUMBERED[:until]
    assert list(read_records(folder, 20, until)) == NUMBERED[20:until]


def test_a_reader_goes_on_where_it_was(folder: Path):
    reader = RecordReader(folder, 3)
    found = [next(iter(reader.read())) for _ in range(5)]
    for until in (9, 9, 30, None, None):
        found += reader.read(until)
    assert found == NUMBERED[3:]
    assert reader.position == 40


@pytest.mark.parametrize("after", range(0, 41, 3))
def test_a_late_reader_leaps_over_what_is_known(
    folder: Path, monkeypatch: pytest.MonkeyPatch, after: int
):
    monkeypatch.setattr(frames, "CHUNK", 100)
    walked = []
    walk = frames.FrameWalk.__iter__

    def counts(self: frames.FrameWalk):
        for kind, offset, body in walk(self):
            walked.append(body)
            yield kind, offset, body

    monkeypatch.setattr(frames.FrameWalk, "__iter__", counts)
    assert list(read_records(folder, after)) == NUMBERED[after:]
    known = [body for body in walked if body in RECORDS[:after]]
    assert len(known) <= 3


def test_an_empty_folder_has_no_records(tmp_path: Path):
    assert list(read_records(tmp_path)) == []


async def test_a_reader_follows_a_writer_through_its_segments(tmp_path: Path):
    reader = RecordReader(tmp_path)
    assert list(reader.read()) == []
    found: list[tuple[int, bytes]] = []
    async with journal_in(tmp_path, segment_bytes=400) as journal:
        for number, record in NUMBERED:
            journal.append_payload([b"payload" * 9])
            journal.append(record)
            if number % 3 == 0:
                await journal.until_durable()
                found += reader.read(journal.durable_position)
                assert found == NUMBERED[:number]
    found += reader.read()
    assert found == NUMBERED


async def test_a_half_written_end_is_waited_for(folder: Path):
    path = folder / names(folder)[-1]
    whole = path.read_bytes()
    limit = whole.rindex(b"record 40") + len(b"record 40")
    reader = RecordReader(folder, 38)
    path.write_bytes(whole[: limit - 3])
    assert list(reader.read()) == NUMBERED[38:39]
    path.write_bytes(whole[: limit - 3] + bytes(3))
    assert list(reader.read()) == []
    path.write_bytes(whole)
    assert list(reader.read()) == NUMBERED[39:]


@pytest.mark.parametrize("number", [3, 20, 39])
def test_damage_before_the_end_is_reported_with_its_place(folder: Path, number: int):
    record = RECORDS[number - 1]
    frame = frame_head(RECORD, record) + record
    (path,) = [path for path in folder.glob("segment-*") if frame in path.read_bytes()]
    at = path.read_bytes().index(frame)
    flip(path, at + len(frame) - 1)
    with pytest.raises(JournalCorrupt) as caught:
        list(read_records(folder))
    assert caught.value.segment == path.name
    assert caught.value.offset == at


def test_a_lost_end_of_an_inner_segment_is_reported(folder: Path):
    path = segment_path(folder, 2)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(JournalCorrupt, match=r"segment-00000002\.log.*lost its end"):
        list(read_records(folder))


def test_a_missing_segment_is_reported(folder: Path):
    segment_path(folder, 2).unlink()
    with pytest.raises(JournalCorrupt, match=r"segment-00000002\.log.*missing"):
        list(read_records(folder))


def test_a_segment_under_another_name_is_reported(folder: Path):
    segment_path(folder, 2).write_bytes(segment_path(folder, 3).read_bytes())
    with pytest.raises(JournalCorrupt, match="this is segment 3"):
        list(read_records(folder))


def test_what_a_fenced_master_wrote_is_ignored(folder: Path):
    path = segment_path(folder, 2)
    with path.open("ab") as file:
        file.write(path.read_bytes()[64:])
    assert list(read_records(folder)) == NUMBERED


def test_a_wrong_count_of_records_is_reported(folder: Path):
    path = segment_path(folder, 3)
    header = read_header(path)
    assert header is not None
    changed = encode_header(type(header)(3, header.epoch, header.before + 1, header.previous))
    path.write_bytes(changed + path.read_bytes()[64:])
    with pytest.raises(JournalCorrupt, match="records up to here"):
        list(read_records(folder))


def test_a_journal_shorter_than_what_was_read_is_refused(folder: Path):
    with pytest.raises(JournalError, match="holds 40 records, and 50 were read before"):
        list(read_records(folder, 50))


def test_a_reader_of_what_did_not_survive_is_told(folder: Path):
    reader = RecordReader(folder)
    assert len(list(reader.read())) == 40
    last = len(names(folder))
    header = read_header(segment_path(folder, last))
    assert header is not None
    following = type(header)(last + 1, 9, header.before, previous=64)
    segment_path(folder, last + 1).write_bytes(encode_header(following))
    with pytest.raises(JournalError, match="beyond what survived"):
        list(reader.read())


async def test_entries_are_read_by_location(tmp_path: Path):
    locations = await write(tmp_path, RECORDS, segment_bytes=500)
    for location, record in zip(locations, RECORDS, strict=True):
        assert read_entry(tmp_path, location) == b"payload of " + record
        part = Location(location.segment, location.offset + 11, location.size - 11)
        assert read_entry(tmp_path, part) == record


async def test_an_entry_that_is_not_there_is_reported(tmp_path: Path):
    await write(tmp_path, RECORDS[:1])
    with pytest.raises(JournalCorrupt, match=r"byte 10000: an entry of 5 bytes"):
        read_entry(tmp_path, Location(1, 10_000, 5))
    with pytest.raises(JournalCorrupt, match=r"segment-00000009\.log.*missing"):
        read_entry(tmp_path, Location(9, 64, 5))
