"""The open end of the log: frames in memory, each with its place in the file already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

from stargen.errors import JournalError
from stargen.journal.framing import (
    HEAD_SIZE,
    HEADER_SIZE,
    MARK_SIZE,
    MAX_BODY,
    PAYLOAD,
    RECORD,
    SEEDS,
    pack_head,
)
from stargen.journal.reader import no_entry
from stargen.model import Location

SEGMENT_BYTES = 256 * 2**20
"""Size at which a new segment is begun; no more than MAX_BODY, whose limit is looked at then."""

_RECORD_SEED = SEEDS[RECORD]
_PAYLOAD_SEED = SEEDS[PAYLOAD]


@dataclass(frozen=True, slots=True)
class Group:
    """Frames that lie together in one segment; the first is room for their mark.

    Parameters
    ----------
    offset : of its first byte in the segment
    before, position : records before it, and up to its end
    """

    segment: int
    offset: int
    before: int
    position: int
    buffer: bytearray

    @property
    def end(self) -> int:
        return self.offset + len(self.buffer)

    def entry(self, location: Location) -> bytes | None:
        """The bytes at `location`, None if it does not lie in this group.

        Raises
        ------
        JournalCorrupt : if it begins here and ends beyond
        """
        if location.segment != self.segment:
            return None
        return _entry(self.buffer, self.offset, location)


class Tail:
    """Frames what is appended into a group, until that is closed and the next one begins.

    Parameters
    ----------
    segment : number of the segment that has just been begun
    position : records in all the segments before
    full : told to take the group (by `close`) before a new segment is begun
    """

    def __init__(
        self, segment: int, position: int, segment_bytes: int, full: Callable[[], None]
    ) -> None:
        self.position = position
        self.items = 0
        """Records and entries in the group that is open."""
        self._segment_bytes = segment_bytes
        self._full = full
        self._refusal: JournalError | None = None
        self._begin(segment, HEADER_SIZE)

    @property
    def is_empty(self) -> bool:
        return len(self._buffer) == MARK_SIZE

    @property
    def pending_bytes(self) -> int:
        return len(self._buffer) - MARK_SIZE

    def append(self, record: bytes) -> int:
        """Add a record; returns its position."""
        size = HEAD_SIZE + len(record)
        if self._next + size > self._room_until:
            self._make_room(size)
        self._buffer += pack_head(len(record), crc32(record, _RECORD_SEED), RECORD)
        self._buffer += record
        self._next += size
        self.items += 1
        self.position += 1
        return self.position

    def append_payload(self, entries: Sequence[bytes]) -> Location:
        """Add entries, one after another; returns where they all lie together."""
        body = entries[0] if len(entries) == 1 else b"".join(entries)
        size = HEAD_SIZE + len(body)
        if self._next + size > self._room_until:
            self._make_room(size)
        self._buffer += pack_head(len(body), crc32(body, _PAYLOAD_SEED), PAYLOAD)
        self._buffer += body
        location = Location(self._segment, self._next + HEAD_SIZE, len(body))
        self._next += size
        self.items += len(entries)
        return location

    def entry(self, location: Location) -> bytes | None:
        """As `Group.entry`, for the group that is open."""
        if location.segment != self._segment:
            return None
        return _entry(self._buffer, self._offset, location)

    def close(self) -> Group:
        """The group as it is; the next one begins behind it."""
        group = Group(self._segment, self._offset, self._before, self.position, self._buffer)
        self._begin(self._segment, self._next)
        return group

    def refuse(self, error: JournalError) -> None:
        """Raise `error` from now on."""
        self._refusal = error
        self._room_until = -1  # so that only the rare way through `_make_room` need look

    def _begin(self, segment: int, offset: int) -> None:
        self._segment = segment
        self._offset = offset
        self._before = self.position
        self.items = 0
        self._buffer = bytearray(MARK_SIZE)
        self._next = offset + MARK_SIZE
        self._room_until = self._segment_bytes

    def _make_room(self, size: int) -> None:
        """Turn to a new segment for a frame that the current one has no room for."""
        if self._refusal is not None:
            raise self._refusal
        if size > MAX_BODY:
            raise ValueError(f"{size} bytes are too many for one frame; the limit is {MAX_BODY}")
        if not self.is_empty:
            self._full()
        if self._offset > HEADER_SIZE:
            self._begin(self._segment + 1, HEADER_SIZE)


def _entry(buffer: bytearray, offset: int, location: Location) -> bytes | None:
    start = location.offset - offset
    if not 0 <= start < len(buffer):
        return None
    data = bytes(buffer[start : start + location.size])
    if len(data) < location.size:
        raise no_entry(location)
    return data
