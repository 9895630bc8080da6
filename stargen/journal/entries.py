"""Payload entries by their location, with a bounded number of segments held open."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

from stargen.errors import JournalCorrupt
from stargen.journal.reader import entry_at
from stargen.journal.segments import segment_path
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
            fd = self._open_segment(location)
        else:
            self._open.move_to_end(location.segment)
        return entry_at(fd, location, segment_path(self._folder, location.segment).name)

    def _open_segment(self, location: Location) -> int:
        path = segment_path(self._folder, location.segment)
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError as error:
            problem = "this segment is missing"
            raise JournalCorrupt(problem, segment=path.name, offset=location.offset) from error
        self._open[location.segment] = fd
        if len(self._open) > MAX_OPEN:
            _, oldest = self._open.popitem(last=False)
            os.close(oldest)
        return fd

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])
