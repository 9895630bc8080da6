from __future__ import annotations

import struct
from pathlib import Path

import pytest

from stargen.errors import JournalVersion
from stargen.journal.snapshots import (
    Snapshot,
    newest_snapshot,
    read_snapshot,
    snapshot_path,
    snapshot_paths,
    write_snapshot,
)


def test_the_newest_comes_back_and_two_are_kept(tmp_path: Path):
    for position in (5, 40, 300):
        write_snapshot(tmp_path, Snapshot(position, 1, b"state %d" % position))
    assert newest_snapshot(tmp_path) == (Snapshot(300, 1, b"state 300"), [])
    assert snapshot_paths(tmp_path) == [snapshot_path(tmp_path, 300), snapshot_path(tmp_path, 40)]


def test_without_one_there_is_none(tmp_path: Path):
    assert newest_snapshot(tmp_path) == (None, [])


def test_every_changed_byte_and_every_cut_is_noticed(tmp_path: Path):
    write_snapshot(tmp_path, Snapshot(7, 1, b"state"))
    path = snapshot_path(tmp_path, 7)
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        try:
            assert read_snapshot(path) is None
        except JournalVersion:
            assert place in (8, 9)
        path.write_bytes(whole[:place])
        assert read_snapshot(path) is None


def test_a_damaged_one_gives_way_to_the_one_before_with_a_warning(tmp_path: Path):
    write_snapshot(tmp_path, Snapshot(1, 1, b"old"))
    write_snapshot(tmp_path, Snapshot(2, 1, b"new"))
    snapshot_path(tmp_path, 2).write_bytes(b"garbage")
    snapshot, warnings = newest_snapshot(tmp_path)
    assert snapshot == Snapshot(1, 1, b"old")
    assert len(warnings) == 1
    assert "snapshot-000000000002.state is damaged" in warnings[0]


def test_one_of_a_later_major_version_names_its_writer(tmp_path: Path):
    write_snapshot(tmp_path, Snapshot(1, 1, b"state"))
    path = snapshot_path(tmp_path, 1)
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, 8, 2)
    path.write_bytes(data)
    with pytest.raises(JournalVersion, match=r"written by Star-gen .* form 2\.0"):
        newest_snapshot(tmp_path)


def test_one_that_is_not_accepted_gives_way_too(tmp_path: Path):
    write_snapshot(tmp_path, Snapshot(1, 1, b"old"))
    write_snapshot(tmp_path, Snapshot(2, 1, b"new"))
    snapshot, warnings = newest_snapshot(tmp_path, lambda found: found.position < 2)
    assert snapshot == Snapshot(1, 1, b"old")
    assert "of a master that had been replaced" in warnings[0]
