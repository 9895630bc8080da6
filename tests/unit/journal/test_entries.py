from __future__ import annotations

from pathlib import Path

import pytest
from support.journals import write

from stargen.errors import JournalCorrupt
from stargen.journal import entries
from stargen.journal.entries import EntryFiles, runs
from stargen.model import Location


def open_files(folder: Path) -> int:
    links = (link.resolve() for link in Path("/proc/self/fd").iterdir())
    return sum(link.is_relative_to(folder) for link in links)


async def test_few_segments_are_held_open_and_none_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(entries, "MAX_OPEN", 3)
    records = [b"%d" % number for number in range(12)]
    locations = await write(tmp_path, records, segment_bytes=150)
    files = EntryFiles(tmp_path)
    for _ in range(2):
        for location, record in zip(locations, records, strict=True):
            assert files.read(location) == b"payload of " + record
            assert open_files(tmp_path) <= 3
    files.close()
    assert open_files(tmp_path) == 0


async def test_a_missing_segment_is_damage(tmp_path: Path):
    files = EntryFiles(tmp_path)
    with pytest.raises(JournalCorrupt, match=r"segment-00000001\.log at byte 64.*missing"):
        files.read(Location(1, 64, 10))


def test_what_lies_close_together_is_one_run():
    near = [Location(1, 100, 50), Location(1, 150, 10), Location(1, 4000, 1)]
    far = [Location(1, 9000, 5), Location(1, 200, 5), Location(2, 206, 5)]
    large = [Location(2, 300, 2**20), Location(2, 300 + 2**20, 1)]
    assert list(runs([*near, *far, *large])) == [
        (Location(1, 100, 3901), near),
        *((at, [at]) for at in (*far, *large)),
    ]
    assert list(runs([])) == []
