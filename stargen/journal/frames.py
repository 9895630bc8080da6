"""Walking over the frames of a segment, and telling a torn end from damage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from zlib import crc32

from stargen.files import pread_all
from stargen.journal.framing import (
    HEAD_SIZE,
    MARK,
    MARK_MAGIC,
    MARK_MAGIC_AT,
    MARK_SIZE,
    MAX_BODY,
    PAYLOAD,
    SEEDS,
    Mark,
    decode_mark,
    unpack_head,
)

CHUNK = 256 * 1024


class FrameWalk:
    """The frames of one segment from `offset` to `end`; stops before the first that is not whole.

    `offset` is then where the good part ends, and `problem` says why, or is None at `end`. Bodies
    of payload frames are skipped unread unless `payloads` is true, and come as None.
    """

    def __init__(self, fd: int, offset: int, end: int, *, payloads: bool) -> None:
        self.offset = offset
        self.end = end
        self.problem: str | None = None
        self._fd = fd
        self._payloads = payloads

    def __iter__(self) -> Iterator[tuple[int, int, bytes | None]]:
        """Kind, offset and body of each frame; `offset` has moved behind it when it is given."""
        buffer, base = b"", self.offset
        while self.offset < self.end:
            at = self.offset - base
            if at + HEAD_SIZE > len(buffer):
                buffer, base, at = self._read(HEAD_SIZE), self.offset, 0
                if len(buffer) < HEAD_SIZE:
                    self.problem = "a frame's head is cut short"
                    return
            length, crc, kind = unpack_head(buffer, at)
            start, size = self.offset, HEAD_SIZE + length
            if length > MAX_BODY or start + size > self.end:
                self.problem = "a frame ends beyond the end"
                return
            if kind == PAYLOAD and not self._payloads:
                self.offset += size
                yield kind, start, None
                continue
            if at + size > len(buffer):
                buffer, base, at = self._read(size), start, 0
            body = buffer[at + HEAD_SIZE : at + size]
            self.problem = _flaw(kind, start, length, crc, body)
            if self.problem is not None:
                return
            self.offset += size
            yield kind, start, body

    def _read(self, size: int) -> bytes:
        return pread_all(self._fd, min(max(size, CHUNK), self.end - self.offset), self.offset)


def _flaw(kind: int, start: int, length: int, crc: int, body: bytes) -> str | None:
    if len(body) < length:
        return "a frame is cut short"
    if crc32(body, SEEDS[kind]) != crc:
        return "a frame's checksum is wrong"
    if kind == MARK:
        mark = decode_mark(body)
        if mark is None or mark.offset != start:
            return "a mark stands in the wrong place"
    return None


def synced_beyond(fd: int, offset: int) -> bool:
    """True if a mark behind `offset` proves that what stands at `offset` was once synced.

    A bad frame there is damage then; without such a mark it is the torn end of the last group.
    """
    return any(mark.synced > offset for mark in _marks(fd, offset, os.fstat(fd).st_size))


def mark_before(fd: int, end: int, position: int) -> Mark | None:
    """A mark not far before the frame that follows record `position`, found by bisection.

    None if there is no mark between the first frames and `end` that lies before it.
    """
    found, low, high = None, 0, end
    while high - low > CHUNK:
        middle = (low + high) // 2
        mark = next(_marks(fd, middle, high), None)
        if mark is None or mark.before > position:
            high = middle
        else:
            found, low = mark, max(mark.offset, middle)
    return found


def _marks(fd: int, offset: int, end: int) -> Iterator[Mark]:
    """Every whole mark whose magic stands in [offset, end), whatever lies between."""
    while offset < end:
        chunk = pread_all(fd, min(CHUNK, end - offset) + MARK_SIZE, offset)
        at = chunk.find(MARK_MAGIC)
        while 0 <= at < min(CHUNK, end - offset):
            mark = _mark_at(fd, offset + at - MARK_MAGIC_AT)
            if mark is not None:
                yield mark
            at = chunk.find(MARK_MAGIC, at + 1)
        offset += CHUNK


def _mark_at(fd: int, offset: int) -> Mark | None:
    if offset < 0:
        return None
    walk = FrameWalk(fd, offset, offset + MARK_SIZE, payloads=False)
    for kind, _, body in walk:
        if kind == MARK and body is not None:
            return decode_mark(body)
    return None
