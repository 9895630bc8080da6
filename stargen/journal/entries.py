"""Payload entries by their location, with a bounded number of segments held open."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

from stargen.journal.reader import entry_at, open_segment
from stargen.model import Location

MAX_OPEN = 16
GAP_BYTES = 4096
RUN_BYTES = 2**20
"""Entries with smaller gaps, and smaller in all, are read at one go: a read costs some 2 µs."""


class EntryFiles:
    """Reads entries that have been written; the segments used last stay open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: OrderedDict[int, int] = OrderedDict()

    def read(self, location: Location) -> bytes:
        """The bytes at `location`.

        Raises
        ------
        JournalCorrupt : if the segment is not there or ends before the entry does
        """
        fd = self._open.get(location.segment)
        if fd is None:
            fd = self._open[location.segment] = open_segment(self._folder, location)
            if len(self._open) > MAX_OPEN:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(location.segment)
        return entry_at(fd, location)

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])


def runs(locations: Sequence[Location]) -> Iterator[tuple[Location, Sequence[Location]]]:
    """Locations in their order, in runs that lie close together, with the place of each run."""
    first = 0
    segment = end = start = -1
    for index, at in enumerate(locations):
        near = at.segment == segment and 0 <= at.offset - end <= GAP_BYTES
        if not near or at.offset + at.size - start > RUN_BYTES:
            if index > first:
                yield Location(segment, start, end - start), locations[first:index]
            first, segment, start = index, at.segment, at.offset
        end = at.offset + at.size
    if locations:
        yield Location(segment, start, end - start), locations[first:]
