"""Glances: what a viewer is told that looks now and then, and does not read every record.

The master folds all records anyway. Where thousands come in a second, a viewer would be busy with
nothing but reading them: it asks for the folded status instead, and for the newest ends of the
tasks of each job, which are collected only while somebody asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, NamedTuple

from stargen.codec import pack, unpack
from stargen.records import (
    CandidateQuarantined,
    LateResults,
    Routed,
    TaskFailed,
    TasksAssigned,
    TasksFinished,
    TasksReturned,
)
from stargen.status import JobStatus, NodeStatus, OpenTask, Status

MOST_ENDS = 200
"""Records of each job that are told: those who look see a window of so many rows."""

_LISTED = 200
"""Open tasks of each job in a lean glance."""

_ASKED_S = 30.0
"""Whoever has not asked for so long has left."""

_SECONDS = 60

OF_TASKS = (
    TasksAssigned,
    TasksFinished,
    TasksReturned,
    TaskFailed,
    CandidateQuarantined,
    Routed,
    LateResults,
)
"""Records that change no more of a node than its counts of tasks."""

_COUNTS = ("running", "finished", "failed")
"""What a `Glance` counts of each node; the last fields of a `NodeStatus`."""

_counts = attrgetter(*_COUNTS)
_all_but_counts = attrgetter(*(f.name for f in fields(NodeStatus) if f.name not in _COUNTS))


class Glance(NamedTuple):
    """A campaign after the record at `position`.

    Parameters
    ----------
    since : of the ends behind this position none is missing, but the oldest of too many; None if
        the master has only just begun to collect them
    whole : whether all open tasks are listed
    status : as `status_forms.freeze` has it, packed; without nodes if there are `counts`
    ends : [position, record] of tasks that finished or failed, of the newest in each job
    seconds : [second, tasks that finished in it] of the last minute
    counts : tasks of each node that run, finished and failed; None if more of the nodes may be new
        to the viewer
    """

    position: int
    since: int | None
    whole: bool
    status: bytes
    ends: list[Any]
    seconds: list[Any]
    counts: list[Any] | None = None

    def form(self) -> bytes:
        return pack(list(self))

    @classmethod
    def from_form(cls, form: bytes) -> Glance:
        return cls(*unpack(form)[: len(cls._fields)])


class Ends:
    """The newest ends of tasks of each job, while somebody asks for them.

    It begins with a whole second, so that its counts are all that finished in theirs.
    """

    def __init__(self) -> None:
        self.since: int | None = None
        """Position from which on it knows all; None while it waits for the next second."""
        self.seconds: deque[list[int]] = deque(maxlen=_SECONDS)
        self._of: dict[int, deque[tuple[int, bytes]]] = {}
        self._asked_until = float("-inf")
        self._second: int | None = None

    def ask(self, at: float) -> None:
        """Somebody looks."""
        self._asked_until = at + _ASKED_S

    def take(self, position: int, record: Any, form: bytes) -> None:
        """The next record, whose bytes are `form`."""
        at = record.at
        if at > self._asked_until:
            if self._second is not None:
                self._forget()
            return
        if self.since is None:
            self._begin(position, int(at))
            if self.since is None:
                return
        if isinstance(record, TasksFinished):
            second = int(at)
            if self.seconds and self.seconds[-1][0] == second:
                self.seconds[-1][1] += len(record.rows)
            else:
                self.seconds.append([second, len(record.rows)])
        elif not isinstance(record, TaskFailed):
            return
        kept = self._of.get(record.job)
        if kept is None:
            kept = self._of[record.job] = deque(maxlen=MOST_ENDS)
        kept.append((position, form))

    def _begin(self, position: int, second: int) -> None:
        if self._second is None:
            self._second = second
        elif second > self._second:
            self.since = position - 1

    def _forget(self) -> None:
        self.since = self._second = None
        self._of.clear()
        self.seconds.clear()

    def after(self, position: int) -> list[tuple[int, bytes]]:
        """What came behind a position, in the order of the journal."""
        found: list[tuple[int, bytes]] = []
        for kept in self._of.values():
            for row in reversed(kept):
                if row[0] <= position:
                    break
                found.append(row)
        found.sort()
        return found


def counted(status: Status) -> list[tuple[int, ...]]:
    """How many tasks of each node run, finished and failed."""
    return list(map(_counts, status.nodes.values()))


def recounted(
    nodes: Mapping[str, NodeStatus], counts: Iterable[Sequence[int]]
) -> dict[str, NodeStatus]:
    """The same nodes with other counts of tasks, as `counted` has them."""
    return {
        name: NodeStatus(*_all_but_counts(node), *values)
        for (name, node), values in zip(nodes.items(), counts, strict=True)
    }


def listed(
    status: Status, node: str, task: Sequence[int] | None
) -> Iterator[list[tuple[int, OpenTask]]]:
    """The open tasks of each job that a lean glance lists.

    Those that have been with a node for longest, all that are with `node`, and `task`.
    """
    for index, job in enumerate(status.jobs):
        yield list(dict(_listed(job, node, task[1] if task and task[0] == index else None)).items())


def _listed(job: JobStatus, node: str, ordinal: int | None) -> Iterable[tuple[int, OpenTask]]:
    left = _LISTED
    for row in job.open.items():  # they stand in the order in which they were sent
        if row[1][0]:
            left -= 1
            yield row
            if not left:
                break
    if node:
        yield from (row for row in job.open.items() if row[1][0] == node)
    if ordinal is not None and ordinal in job.open:
        yield ordinal, job.open[ordinal]
