from __future__ import annotations

from pathlib import Path

import pytest
from support.journals import write

from stargen.errors import JournalCorrupt
from stargen.journal import entries
from stargen.journal.entries import EntryFiles
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
