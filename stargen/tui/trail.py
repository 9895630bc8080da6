"""What a viewer remembers beside the status: recent ends, and where results lie.

All of it is bounded by a number of records. A finished record is kept whole and taken apart only
when somebody looks, so that following a campaign costs next to nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stargen.folding import fold
from stargen.glance import MOST_ENDS, recounted
from stargen.model import Location
from stargen.records import FinishedRow, Record, TaskFailed, TasksFinished
from stargen.status import Status
from stargen.tui.leap import Leap

_RECORDS = 500
_OUTPUTS = 2_000
"""Finished rows with output that are remembered of each job."""

_SECONDS = 600


class Ended(NamedTuple):
    """A task that is over, or an attempt of it that failed."""

    at: float
    job: int
    ordinal: int
    node: str
    how: str
    duration_s: float | None
    said: str


@dataclass(slots=True)
class Trail:
    """Recent history of tasks; fold it beside a `Status`."""

    ends: deque[TasksFinished | TaskFailed] = field(
        default_factory=lambda: deque[TasksFinished | TaskFailed](maxlen=_RECORDS)
    )
    outputs: dict[int, deque[FinishedRow]] = field(default_factory=dict[int, deque[FinishedRow]])
    seconds: deque[list[int]] = field(default_factory=lambda: deque[list[int]](maxlen=_SECONDS))
    """[second, tasks that finished in it], where there were any."""

    def take(self, record: Record) -> None:
        if isinstance(record, TasksFinished):
            self._end(record)
            second = int(record.at)
            if self.seconds and self.seconds[-1][0] == second:
                self.seconds[-1][1] += len(record.rows)
            else:
                self.seconds.append([second, len(record.rows)])
        elif isinstance(record, TaskFailed):
            self.ends.append(record)

    def catch_up(
        self, ends: Sequence[TasksFinished | TaskFailed], seconds: Sequence[list[int]]
    ) -> None:
        """Take in what a glance tells of the records that were not read.

        Of a job that has as many ends as are told there were more: what it put out before them is
        forgotten, so that those that are known follow one another.
        """
        for job, count in Counter(record.job for record in ends).items():
            if count >= MOST_ENDS:
                self.outputs.pop(job, None)
        for record in ends:
            if isinstance(record, TasksFinished):
                self._end(record)
            else:
                self.ends.append(record)
        while seconds and self.seconds and self.seconds[-1][0] >= seconds[0][0]:
            self.seconds.pop()
        self.seconds.extend(list(pair) for pair in seconds)

    def _end(self, record: TasksFinished) -> None:
        outputs = self.outputs.get(record.job)
        if outputs is None:
            outputs = self.outputs[record.job] = deque(maxlen=_OUTPUTS)
        outputs.extend(row for row in record.rows if row.sizes)
        self.ends.append(record)

    def pace(self, now: float, buckets: int, each_s: int) -> list[float]:
        """Tasks finished a second, over the last `buckets` whole stretches of `each_s` seconds."""
        found = [0.0] * buckets
        present = int(now) // each_s
        for second, count in self.seconds:
            place = buckets - (present - second // each_s)
            if 0 <= place < buckets:
                found[place] += count / each_s
        return found

    def recent(self) -> Iterator[Ended]:
        """What ended, the newest first."""
        for record in reversed(self.ends):
            if isinstance(record, TaskFailed):
                said = f"{record.failure}: {record.message}"
                yield Ended(
                    record.at, record.job, record.ordinal, record.node, record.verdict, None, said
                )
            else:
                for row in reversed(record.rows):
                    said = _yield_in_words(row)
                    seconds = row.duration_us / 1e6
                    yield Ended(
                        record.at, record.job, row.ordinal, record.node, "finished", seconds, said
                    )

    def newest_outputs(self, job: int, most: int) -> list[Location]:
        """Where the newest candidates of a job lie, the newest first."""
        found: list[Location] = []
        for row in reversed(self.outputs.get(job, ())):
            at = row.offset
            for size in row.sizes:
                found.append(Location(row.segment, at, size))
                at += size
            if len(found) >= most:
                break
        return found[:most]


def _yield_in_words(row: FinishedRow) -> str:
    parts = [f"{len(row.sizes)} out"]
    parts += [f"{reason or 'no reason'} {n}" for reason, n in row.drop_counts.items()]
    return ", ".join(parts)


@dataclass(slots=True)
class View:
    """A campaign after the first `position` records of its journal."""

    status: Status = field(default_factory=Status)
    trail: Trail = field(default_factory=Trail)
    position: int = 0

    def take(self, position: int, record: Record) -> None:
        """Take the next record in."""
        fold(self.status, record)
        self.trail.take(record)
        self.position = position

    def leapt(self, leap: Leap) -> View:
        """The same campaign after the next records, of which a master tells all at once.

        The trail goes on there; this view may not.
        """
        ends = [record for position, record in leap.ends if position > self.position]
        self.trail.catch_up(ends, leap.glance.seconds)
        if leap.glance.counts is not None:
            leap.status.nodes = recounted(self.status.nodes, leap.glance.counts)
        return View(leap.status, self.trail, leap.glance.position)
