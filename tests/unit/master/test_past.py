"""The check of what lies behind a snapshot: whatever becomes of it is told."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from support.journals import journal_in

from stargen.journal.segments import segment_path
from stargen.journal.snapshots import Snapshot, snapshot_path, write_snapshot
from stargen.master.past import check_past

SEGMENTS = 3


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """Segments of one record and payload each, all behind a snapshot, and a last one."""
    for number in range(SEGMENTS):
        async with journal_in(tmp_path) as journal:
            journal.append_payload([b"payload %d" % number])
            journal.append(b"record %d" % number)
    write_snapshot(tmp_path, Snapshot(SEGMENTS, SEGMENTS, b"state"))
    return tmp_path


async def checked(folder: Path) -> list[str]:
    told: list[str] = []
    async with journal_in(folder) as journal:
        assert journal.recovered.unchecked == SEGMENTS - 1, "the last one was read at the start"
        await check_past(folder, journal.recovered.unchecked, told.append)
    return told


async def test_a_sound_journal_is_no_news(folder: Path):
    assert await checked(folder) == []


async def test_each_damaged_segment_is_told_with_its_place(folder: Path):
    places: list[str] = []
    for number in (1, 2):
        path = segment_path(folder, number)
        data = path.read_bytes()
        frame = data.index(b"payload") - 9
        path.write_bytes(data.replace(b"payload", b"Payload"))
        places.append(f"{path.name} at byte {frame}: a frame's checksum is wrong.")
    told = await checked(folder)
    assert len(told) == 2
    for text, place in zip(told, places, strict=True):
        assert text.startswith(f"journal: {place}")


async def test_without_a_snapshot_all_is_read_at_the_start(folder: Path):
    snapshot_path(folder, SEGMENTS).unlink()
    async with journal_in(folder) as journal:
        assert journal.recovered.unchecked == 0
        await check_past(folder, 0, pytest.fail, ("/nowhere",))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("/nowhere/python",), "is not checked: "),
        ((sys.executable, "-c", "raise SystemExit(7)"), "ended with code 7"),
    ],
)
async def test_a_check_that_fails_is_told_too(tmp_path: Path, command: tuple[str, ...], words: str):
    told: list[str] = []
    await check_past(tmp_path, 1, told.append, command)
    assert len(told) == 1
    assert words in told[0]


async def test_nothing_of_it_is_left_when_nobody_waits_any_longer(tmp_path: Path):
    marker = tmp_path / "pid"
    text = f"import os, time; open({str(marker)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    check = asyncio.create_task(check_past(tmp_path, 1, print, (sys.executable, "-c", text)))
    async with asyncio.timeout(20):
        while not (marker.exists() and marker.read_text()):  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.01)
    check.cancel()
    await asyncio.wait((check,))
    with pytest.raises(ProcessLookupError):
        os.kill(int(marker.read_text()), 0)
