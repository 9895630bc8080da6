"""Payload entries by their location, with a bounded number of segments held open."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

from stargen.journal.reader import entry_at, open_segment
from stargen.model import Location

MAX_OPEN = 16


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
