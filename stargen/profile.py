"""Profile: where the time of a campaign's tasks went, folded from records; pure.

A task waits until a node takes it (`queued_s`, from the arrival of its last candidate), is on its
way or in a node's buffer (`transit_s`, with the way back of its result), and is worked on
(`busy_s`, in steps). What attempts took that brought nothing is `lost_s`. All are sums over tasks,
so many tasks at once may wait longer than the campaign lasts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from stargen.model import StepCost
from stargen.records import (
    PlanAdopted,
    Record,
    Routed,
    Selected,
    TaskFailed,
    TasksAssigned,
    TasksFinished,
    TasksReturned,
)


class Arrivals:
    """When the candidates of a numbered sequence came."""

    __slots__ = ("_ats", "_lengths", "length")

    def __init__(self) -> None:
        self.length = 0
        self._lengths: list[int] = []
        self._ats: list[float] = []

    def extend(self, count: int, at: float) -> None:
        if count:
            self.length += count
            self._lengths.append(self.length)
            self._ats.append(at)

    def at(self, position: int) -> float | None:
        """When that one came; None if it has not."""
        index = bisect_right(self._lengths, position)
        return self._ats[index] if index < len(self._ats) else None


@dataclass(slots=True)
class StepProfile:
    """One step of a job: in how many tasks it was measured, and what they took together."""

    cost: StepCost
    tasks: int = 0

    @property
    def waiting_s(self) -> float:
        """What is neither computing nor input and output nor staging."""
        cost = self.cost
        return max(0.0, cost.wall_s - cost.compute_s - cost.io_s - cost.staging_s)

    def add(self, cost: StepCost) -> None:
        self.tasks += 1
        sums = (one + other for one, other in zip(self.cost[1:], cost[1:], strict=True))
        self.cost = StepCost(cost.step, *sums)


@dataclass(slots=True)
class JobProfile:
    """One job; seconds are sums over its tasks."""

    name: str
    shape: str = "map"
    inputs: list[int] = field(default_factory=list[int])
    tasks: int = 0
    busy_s: float = 0.0
    queued_s: float = 0.0
    transit_s: float = 0.0
    lost_s: float = 0.0
    steps: dict[int, StepProfile] = field(default_factory=dict[int, StepProfile])
    out: Arrivals = field(default_factory=Arrivals)
    lanes: dict[int, Arrivals] = field(default_factory=dict[int, Arrivals])
    """Of a job whose candidates are told their lanes one by one."""
    since: dict[int, float] = field(default_factory=dict[int, float])
    """Since when a task that has been tried is in the queue again, by ordinal."""
    assigned: dict[int, float] = field(default_factory=dict[int, float])

    def plain(self) -> dict[str, Any]:
        """For JSON; steps in their order."""
        return {
            "job": self.name,
            "tasks": self.tasks,
            "busy_s": self.busy_s,
            "queued_s": self.queued_s,
            "transit_s": self.transit_s,
            "lost_s": self.lost_s,
            "steps": [
                {**of.cost._asdict(), "waiting_s": of.waiting_s, "tasks": of.tasks}
                for _, of in sorted(self.steps.items())
            ],
        }


class Profile:
    """The fold; `text` is the campaign file as it was adopted last."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.jobs: list[JobProfile] = []
        self.text = ""
        folds: dict[type[Any], Callable[[Any], None]] = {
            PlanAdopted: self._adopted,
            TasksAssigned: self._assigned,
            TasksFinished: self._finished,
            TasksReturned: self._returned,
            TaskFailed: self._failed,
            Routed: self._routed,
            Selected: self._selected,
        }
        for record in records:
            fold = folds.get(type(record))
            if fold is not None:
                fold(record)

    def _adopted(self, record: PlanAdopted) -> None:
        self.text = record.text
        for index, (name, row) in enumerate(zip(record.jobs, record.graph, strict=False)):
            if index == len(self.jobs):
                self.jobs.append(JobProfile(name))
            job = self.jobs[index]
            job.name, job.shape, job.inputs = name, row.shape, row.inputs

    def _assigned(self, record: TasksAssigned) -> None:
        job = self.jobs[record.job]
        for row in record.rows:
            came = job.since.pop(row.ordinal, None)
            if came is None:
                came = self._arrival(job, row.lane, row.hi - 1)
            if came is not None:
                job.queued_s += max(0.0, record.at - came)
            job.assigned[row.ordinal] = record.at

    def _arrival(self, job: JobProfile, lane: int, position: int) -> float | None:
        if job.lanes:
            lane_ = job.lanes.get(lane)
            return None if lane_ is None else lane_.at(position)
        return self.jobs[job.inputs[0]].out.at(position) if job.inputs else None

    def _finished(self, record: TasksFinished) -> None:
        job = self.jobs[record.job]
        for row in record.rows:
            took_s = row.duration_us / 1e6
            since = job.assigned.pop(row.ordinal, record.at - took_s)
            job.tasks += 1
            job.busy_s += took_s
            job.transit_s += max(0.0, record.at - since - took_s)
            job.since.pop(row.ordinal, None)
            for cost in row.costs:
                read = StepCost(*cost[: len(StepCost._fields)])
                job.steps.setdefault(read.step, StepProfile(StepCost(read.step))).add(read)
        job.out.extend(sum(len(row.sizes) for row in record.rows), record.at)

    def _returned(self, record: TasksReturned) -> None:
        for row in record.rows:
            self._lost(record.job, row.ordinal, record.at)

    def _failed(self, record: TaskFailed) -> None:
        self._lost(record.job, record.ordinal, record.at)

    def _lost(self, job_index: int, ordinal: int, at: float) -> None:
        job = self.jobs[job_index]
        job.lost_s += at - job.assigned.pop(ordinal, at)
        job.since[ordinal] = at

    def _routed(self, record: Routed) -> None:
        job = self.jobs[record.job]
        if job.shape == "select":
            job.out.extend(sum(lane >= 0 for lane in record.lanes), record.at)
            return
        for lane in record.lanes:
            if lane >= 0:
                job.lanes.setdefault(lane, Arrivals()).extend(1, record.at)

    def _selected(self, record: Selected) -> None:
        self.jobs[record.job].out.extend(len(record.rows), record.at)
