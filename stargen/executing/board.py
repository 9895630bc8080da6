"""Board: a page of memory that a worker writes and its agent reads: what runs now, since when.

Results travel in bunches, so the agent cannot know from messages which task a worker was at when it
died, or how long the present one has been running. The board tells, at the price of one small write
per task: whom to blame for a crash, when a walltime is over, what to put into an inventory.

One cell per slot: ``u64 epoch | u64 n | f64 since (monotonic seconds) | u32 phase``.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from enum import IntEnum
from typing import NamedTuple

_CELL = struct.Struct("<QQdI")
_CELL_BYTES = 32
_SLOTS = 1024


class Phase(IntEnum):
    """What a slot is doing."""

    IDLE = 0
    PYTHON = 1
    """Code of a calculator or of a program's supervision runs in the worker itself."""
    PROGRAM = 2
    """An external program runs; the worker only waits for it."""


class Cell(NamedTuple):
    """What one slot is at."""

    epoch: int
    n: int
    since: float
    phase: int

    @property
    def busy(self) -> bool:
        return self.phase != Phase.IDLE


class Board:
    """Both ends of the shared page.

    Parameters
    ----------
    fd : the page's descriptor as the agent passed it on; None to make a new page
    """

    def __init__(self, fd: int | None = None) -> None:
        if fd is None:
            fd = os.memfd_create("stargen-board", os.MFD_CLOEXEC)
            os.ftruncate(fd, _SLOTS * _CELL_BYTES)
        self.fd = fd
        self._page = mmap.mmap(fd, _SLOTS * _CELL_BYTES)

    def begin(self, slot: int, epoch: int, n: int) -> float:
        """Attempt (epoch, n) starts on `slot`; returns when, in monotonic seconds."""
        now = time.monotonic()
        _CELL.pack_into(self._page, slot * _CELL_BYTES, epoch, n, now, Phase.PYTHON)
        return now

    def turn(self, slot: int, phase: Phase) -> None:
        """The attempt on `slot` goes on in another phase."""
        struct.pack_into("<I", self._page, slot * _CELL_BYTES + 24, phase)

    def end(self, slot: int) -> None:
        """Nothing runs on `slot`."""
        _CELL.pack_into(self._page, slot * _CELL_BYTES, 0, 0, 0.0, Phase.IDLE)

    def read(self, slot: int) -> Cell:
        """What `slot` is at; read again while it changes under the eyes."""
        cell = _CELL.unpack_from(self._page, slot * _CELL_BYTES)
        while (again := _CELL.unpack_from(self._page, slot * _CELL_BYTES)) != cell:
            cell = again
        return Cell(*cell)

    def close(self) -> None:
        self._page.close()
        os.close(self.fd)
