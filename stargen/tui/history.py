"""Any moment of a campaign again: key frames of its status, and the records between them.

Key frames are taken while records are read for other reasons, so that the first look into the past
reads the journal up to there and later ones do not. They are as many records apart as they have
rows, so that taking them costs a fraction of the reading. When there are too many, or they are too
large together, every other one goes and the distance doubles.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from stargen.codec import pack, unpack
from stargen.journal import RecordReader
from stargen.records import Record, decode
from stargen.status_forms import freeze, thaw
from stargen.tui.leap import Leap
from stargen.tui.trail import View

_FIRST_DISTANCE = 1_000
_TOLD_APART = 4
"""Times as far apart they are where a master tells them."""

_MOST = 64
_MOST_BYTES = 64 * 2**20


class KeyFrame(NamedTuple):
    """The status at `position`, whose last record bears `at`; empty form: before the first."""

    position: int
    at: float
    form: bytes

    def view(self) -> View:
        return View(thaw(unpack(self.form)), position=self.position) if self.form else View()


_START = KeyFrame(0, float("-inf"), b"")


@dataclass(slots=True)
class KeyFrames:
    """Key frames in their order; several threads may use them."""

    distance: int = _FIRST_DISTANCE
    _frames: list[KeyFrame] = field(default_factory=lambda: [_START])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self._frames)

    def wants(self, view: View, told: bool = False) -> bool:
        """Whether none is near; `told`: by a master, whom it costs more than reading costs us."""
        position, status = view.position, view.status
        rows = len(status.nodes) + sum(job.unfinished for job in status.jobs)
        distance = max(self.distance, rows * (_TOLD_APART if told else 1))
        with self._lock:
            place = self._place(position)
            far = self._frames[place - 1].position + distance <= position
            return far and (
                place == len(self._frames) or position + distance <= self._frames[place].position
            )

    def offer(self, view: View) -> None:
        """Keep a frame of this view if none is near; call it in a thread: many rows take a while,
        in which the view must not change.
        """
        if not self.wants(view):
            return
        self._insert(KeyFrame(view.position, view.status.at, pack(freeze(view.status))))

    def keep(self, leap: Leap) -> None:
        """Keep a frame of what a master told, if it is whole and none is near."""
        glance = leap.glance
        view = View(leap.status, position=glance.position)
        if glance.whole and self.wants(view, told=True):
            self._insert(KeyFrame(glance.position, leap.status.at, glance.status))

    def _insert(self, frame: KeyFrame) -> None:
        with self._lock:
            self._frames.insert(self._place(frame.position), frame)
            while len(self._frames) > _MOST or self._bytes() > _MOST_BYTES:
                self._frames = self._frames[::2]
                self.distance *= 2

    def _place(self, position: int) -> int:
        return bisect_right(self._frames, position, key=lambda frame: frame.position)

    def _bytes(self) -> int:
        return sum(len(frame.form) for frame in self._frames)

    def before(self, at: float) -> KeyFrame:
        """The last but one before a moment: the way from there fills the trail as well."""
        with self._lock:
            place = bisect_right(self._frames, at, key=lambda frame: frame.at)
            return self._frames[max(0, place - 2)]

    def between(self, position: int, at: float) -> bool:
        """Whether starting from a frame is shorter than going on from `position`."""
        return self.before(at).position > position


class Walker:
    """Reads decoded records one stretch after another, up to a moment or a number."""

    def __init__(self, journal: Path, after: int) -> None:
        self._reader = RecordReader(journal, after)
        self._rows: Iterator[tuple[int, bytes]] | None = None
        self._next: tuple[int, Record] | None = None

    def some(self, most: int) -> list[tuple[int, Record]]:
        """At most so many further records; fewer: there are no more at present."""
        found: list[tuple[int, Record]] = []
        while len(found) < most and (row := self._take()) is not None:
            found.append(row)
        return found

    def until(self, at: float) -> Iterator[tuple[int, Record]]:
        """The records up to a moment; the first one beyond it stays for the next call."""
        while (row := self._take()) is not None:
            if row[1].at > at:
                self._next = row
                return
            yield row

    def _take(self) -> tuple[int, Record] | None:
        if self._next is not None:
            row, self._next = self._next, None
            return row
        if self._rows is None:
            self._rows = self._reader.read()
        for position, body in self._rows:
            return position, decode(body)
        self._rows = None  # read up to the end: a later call looks again
        return None


def view_at(journal: Path, frames: KeyFrames, at: float) -> tuple[View, Walker]:
    """The campaign at a moment, and the walker that goes on from there."""
    view = frames.before(at).view()
    walker = Walker(journal, view.position)
    for position, record in walker.until(at):
        view.take(position, record)
        if position % _FIRST_DISTANCE == 0:
            frames.offer(view)
    return view, walker


def first_moment(journal: Path) -> float | None:
    """When the first record was written; None if there is none."""
    for _, body in RecordReader(journal).read(1):
        return decode(body).at
    return None
