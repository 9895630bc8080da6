"""The segments of a journal folder: their names, headers and order."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from stargen.errors import JournalCorrupt
from stargen.files import sync_folder
from stargen.journal.frames import synced_beyond
from stargen.journal.framing import HEADER_SIZE, SegmentHeader, decode_header, encode_header


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"segment-{number:08d}.log"


def segment_numbers(folder: Path) -> list[int]:
    """The numbers of the segments that lie in the folder, in order."""
    names = (path.name[8:-4] for path in folder.glob("segment-*.log"))
    return sorted(int(name) for name in names if name.isdigit())


@contextlib.contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Generator[int]:
    """A file descriptor for the length of a with block."""
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def read_header(path: Path) -> SegmentHeader | None:
    """The header of a segment; None if the segment was torn while it was made, or is not there.

    Raises
    ------
    JournalCorrupt : if the header is bad although frames were synced behind it
    JournalVersion : if a newer major version wrote it
    """
    try:
        with opened(path) as fd:
            header = decode_header(os.pread(fd, HEADER_SIZE, 0), path.name)
            if header is None and synced_beyond(fd, 0):
                raise JournalCorrupt("the header is damaged", segment=path.name, offset=0)
    except FileNotFoundError:
        return None
    if header is not None and segment_path(path.parent, header.segment).name != path.name:
        raise JournalCorrupt(
            f"this is segment {header.segment} under another name", segment=path.name, offset=0
        )
    return header


def read_chain(folder: Path) -> tuple[list[SegmentHeader], int | None]:
    """The headers of all segments in order, and the number of a last one that was torn in making.

    Raises
    ------
    JournalCorrupt : if a segment is missing or its header damaged
    """
    headers: list[SegmentHeader] = []
    numbers = segment_numbers(folder)
    for expected, number in enumerate(numbers, start=1):
        name = segment_path(folder, expected).name
        if number != expected:
            raise JournalCorrupt("this segment is missing", segment=name, offset=0)
        header = read_header(folder / name)
        if header is None:
            if number != numbers[-1]:
                raise JournalCorrupt("the header is damaged", segment=name, offset=0)
            return headers, number
        headers.append(header)
    return headers, None


def create_segment(folder: Path, header: SegmentHeader) -> int:
    """Make the segment and make it durable; returns its file descriptor, open for writing.

    A segment is durable before its first frame is written, and the one before it is synced whole
    before that, so only the last segment can have a torn end.
    """
    path = segment_path(folder, header.segment)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        os.pwrite(fd, encode_header(header), 0)
        os.fsync(fd)
        sync_folder(folder)
    except BaseException:
        os.close(fd)
        path.unlink()
        raise
    return fd
