"""Fragmenter: cuts the next tasks out of a job's lanes, lazily, by the job's grain."""

from __future__ import annotations

from typing import NamedTuple

from stargen.model import Shape
from stargen.scheduling.jobs import JobState
from stargen.scheduling.streams import Lane

MAX_GRAIN = 4096
MAX_TASK_BYTES = 4 << 20
LEAST_TASK_S = 0.05
"""No task is cut shorter only for more slots to have one: sending one costs both ends some 0.1 ms,
and a cluster has more slots than candidates wait at an edge."""
GROWTH = 4
"""A task has at most this many times the candidates that the learned pace was measured with."""


class Range(NamedTuple):
    """A task to be: [lo, hi) of lane `lane`."""

    lane: int
    lo: int
    hi: int


def grain(job: JobState, slots: int, waiting: int) -> int:
    """How many candidates the next task of this job should have.

    A fixed grain is obeyed. Otherwise a task should last the job's `target_task_s` by the learned
    pace, but not be so long that some of the `slots` would go without, unless it is very short.
    """
    fixed = job.plan.grain
    if fixed is not None:
        return fixed
    pace = job.pace
    if pace.candidate_s is None or pace.task_s is None:
        return 1
    wanted = job.plan.spec.target_task_s / max(pace.candidate_s, 1e-7)
    measured = pace.task_s / max(pace.candidate_s, 1e-7)
    share = max(-(-waiting // max(slots, 1)), int(LEAST_TASK_S / max(pace.candidate_s, 1e-7)))
    return max(1, min(int(wanted), int(GROWTH * measured) + 1, share, waiting, MAX_GRAIN))


def waiting(job: JobState, request: int) -> int:
    """Candidates of the lanes with that request number that could go into new tasks now."""
    plan = job.plan
    if plan.is_select or job.closed is not None:
        return 0
    if plan.shape is Shape.KEYED:
        return sum(lane.waiting for lane in job.lanes if lane.idle)
    if len(job.requests) > 1 or plan.request_of is not None:
        return job.lanes[request].waiting
    return job.lanes[0].waiting


def cut(job: JobState, request: int, size: int, tasks: int, allowance: int) -> list[Range]:
    """Up to `tasks` ranges of up to `size` candidates, `allowance` candidates in all.

    A keyed lane gives one task at a time, and only when none of its tasks is open.
    """
    if job.plan.shape is Shape.KEYED:
        return _cut_keyed(job, size, tasks, allowance)
    index = request if job.plan.request_of is not None else 0
    lane = job.lanes[index]
    ranges: list[Range] = []
    at, end = lane.cursor, lane.length
    while len(ranges) < tasks and at < end and allowance > 0:
        hi = _end_of(lane, at, min(at + min(size, allowance), end))
        ranges.append(Range(index, at, hi))
        allowance -= hi - at
        at = hi
    return ranges


def _cut_keyed(job: JobState, size: int, tasks: int, allowance: int) -> list[Range]:
    ready = [index for index, lane in enumerate(job.lanes) if lane.waiting and lane.idle]
    ready.sort(key=lambda index: (-job.lanes[index].waiting, index))
    ranges: list[Range] = []
    for index in ready[:tasks]:
        if allowance <= 0:
            break
        lane = job.lanes[index]
        hi = _end_of(lane, lane.cursor, min(lane.cursor + min(size, allowance), lane.length))
        ranges.append(Range(index, lane.cursor, hi))
        allowance -= hi - lane.cursor
    return ranges


def _end_of(lane: Lane, lo: int, hi: int) -> int:
    """Where a task that starts at `lo` must end, at most `hi`, so that its bytes stay bounded."""
    if hi - lo == 1:
        return hi
    budget = MAX_TASK_BYTES
    for position in range(lo, hi):
        budget -= lane.size(position)
        if budget < 0:
            return max(position, lo + 1)
    return hi
