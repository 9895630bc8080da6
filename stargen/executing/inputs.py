"""Inputs of an agent that shares no folder with its master: fetched over the link, piece by piece.

One piece is under way at a time, so that results need not wait behind files. Workers that need a
file wait for the note beside it that says that it is whole.
"""

from __future__ import annotations

import logging
import shutil
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from stargen.carrying import FileRow, Piece, place_of, take_piece
from stargen.codec import pack
from stargen.files import write_atomically
from stargen.messages import DefineJob, FilePart, WantFile

log = logging.getLogger(__name__)


class _Wanted(NamedTuple):
    job: int
    name: str
    row: FileRow
    more: int
    """Files of the same input that come after this one."""


class Inputs:
    """What has come, what is on its way.

    Parameters
    ----------
    folder : where they lie
    ask : tells the master, if there is one
    """

    def __init__(self, folder: Path, ask: Callable[[WantFile], None]) -> None:
        self._folder = folder
        self._ask = ask
        self._queue: deque[_Wanted] = deque()
        self._offset = 0
        self._stamps: dict[str, bytes] = {}

    def want(self, job: DefineJob) -> None:
        """See to it that the job's inputs are or will be here."""
        idle = not self._queue
        for name, files in job.files:
            stamp = stamp_of(files)
            if self._stamps.get(name) == stamp or is_whole(self._folder, name, stamp):
                continue
            self._stamps[name] = stamp
            shutil.rmtree(place_of(self._folder, name).parent, ignore_errors=True)
            rows = [FileRow(*row) for row in files]
            for more, row in zip(reversed(range(len(rows))), rows, strict=True):
                self._queue.append(_Wanted(job.job, name, row, more))
        if idle:
            self.ask_again()

    def ask_again(self) -> None:
        """A master is there, perhaps another: ask for the next piece."""
        if self._queue:
            wanted = self._queue[0]
            self._ask(WantFile(wanted.job, wanted.name, wanted.row.below, self._offset))

    def take(self, part: FilePart) -> None:
        """A piece has come. OSError if it cannot be written down."""
        wanted = self._queue[0] if self._queue else None
        asked = (wanted.name, wanted.row.below, self._offset) if wanted else None
        if wanted is None or asked != (part.name, part.below, part.offset):
            return  # the answer to a question that was asked twice
        place = place_of(self._folder, wanted.name)
        path = place / wanted.row.below if wanted.row.below else place
        self._offset += len(part.data)
        if take_piece(path, Piece(part.offset, part.data, part.last)):
            self._queue.popleft()
            self._offset = 0
            if not wanted.more:
                stamp = self._stamps.pop(wanted.name)
                write_atomically(_note(self._folder, wanted.name), stamp)
                log.info("input %s is here", wanted.name)
        self.ask_again()


def stamp_of(files: list[Any]) -> bytes:
    """Tells one state of an input from another."""
    return pack([list(row) for row in files])


def is_whole(folder: Path, name: str, stamp: bytes) -> bool:
    """Whether an input lies here as the master has it."""
    try:
        return _note(folder, name).read_bytes() == stamp
    except OSError:
        return False


def _note(folder: Path, name: str) -> Path:
    return place_of(folder, name).parent / ".whole"
