"""What a viewer remembers beside the status: recent ends, when tasks began, where results lie.

All of it is bounded: by the open tasks, or by a number of records. A finished record is kept whole
and taken apart only when somebody looks, so that following a campaign costs next to nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from stargen.folding import fold
from stargen.model import Location
from stargen.records import (
    CandidateQuarantined,
    FinishedRow,
    NodeLost,
    Record,
    TaskFailed,
    TasksAssigned,
    TasksFinished,
    TasksReturned,
)
from stargen.status import Status

_RECORDS = 500
_OUTPUTS = 2_000
"""Finished rows with output that are remembered of each job."""

_SECONDS = 600


class Began(NamedTuple):
    """The attempt of an open task that was assigned last."""

    at: float
    epoch: int
    n: int


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

    began: dict[tuple[int, int], Began] = field(default_factory=dict[tuple[int, int], Began])
    ends: deque[TasksFinished | TaskFailed] = field(
        default_factory=lambda: deque[TasksFinished | TaskFailed](maxlen=_RECORDS)
    )
    failures: deque[TaskFailed] = field(default_factory=lambda: deque[TaskFailed](maxlen=_RECORDS))
    quarantined: deque[CandidateQuarantined] = field(
        default_factory=lambda: deque[CandidateQuarantined](maxlen=_RECORDS)
    )
    outputs: dict[int, deque[FinishedRow]] = field(default_factory=dict[int, deque[FinishedRow]])
    seconds: deque[list[int]] = field(default_factory=lambda: deque[list[int]](maxlen=_SECONDS))
    """[second, tasks that finished in it], where there were any."""

    def take(self, record: Record) -> None:
        if isinstance(record, TasksFinished):
            self._finished(record)
        elif isinstance(record, TasksAssigned):
            for row in record.rows:
                self.began[record.job, row.ordinal] = Began(record.at, row.epoch, row.n)
        elif isinstance(record, TaskFailed):
            self.began.pop((record.job, record.ordinal), None)
            self.ends.append(record)
            self.failures.append(record)
        elif isinstance(record, TasksReturned):
            for row in record.rows:
                self.began.pop((record.job, row.ordinal), None)
        elif isinstance(record, CandidateQuarantined):
            self.quarantined.append(record)

    def _finished(self, record: TasksFinished) -> None:
        job = record.job
        outputs = self.outputs.get(job)
        if outputs is None:
            outputs = self.outputs[job] = deque(maxlen=_OUTPUTS)
        began = self.began
        for row in record.rows:
            began.pop((job, row.ordinal), None)
            if row.sizes:
                outputs.append(row)
        self.ends.append(record)
        second = int(record.at)
        if self.seconds and self.seconds[-1][0] == second:
            self.seconds[-1][1] += len(record.rows)
        else:
            self.seconds.append([second, len(record.rows)])

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
        if isinstance(record, NodeLost):
            self.forget_what_runs_nowhere()
        self.position = position

    def forget_what_runs_nowhere(self) -> None:
        """Of open tasks alone it is kept when they began."""
        jobs = self.status.jobs
        for key in [k for k in self.trail.began if not jobs[k[0]].open.get(k[1], ("", 0))[0]]:
            del self.trail.began[key]
