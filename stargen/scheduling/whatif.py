"""What if there were more nodes: which of them would get work?

The work at hand is laid out over empty copies of the nodes that there are or will be, by the
predicates that place tasks; imagined nodes get what is left over. Short tasks are counted by the
time that they take together: a node that would be done with them in no time is not worth asking
for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from stargen.model import Request, Resources, Shape
from stargen.scheduling import fragmenter, placement
from stargen.scheduling.distributor import Distributor
from stargen.scheduling.jobs import JobState
from stargen.scheduling.nodelist import Node

Allowance = Callable[[JobState], int]


@dataclass(slots=True)
class Demand:
    """Work of one class of tasks: so many `slots` could be busy with it for some time.

    Parameters
    ----------
    work_s : seconds that all of it takes one slot; None if nobody knows
    """

    job: JobState
    request: Request
    slots: int
    work_s: float | None

    @property
    def nodes_each(self) -> int:
        """Nodes that one task has for itself; 1 if it shares one."""
        return self.request[0].nodes


def demands(
    jobs: Iterable[JobState],
    allowance: Allowance,
    ready: Callable[[JobState], bool],
    now: float,
    worth_s: float,
) -> list[Demand]:
    """What there is to be done, by class.

    Parameters
    ----------
    jobs : in the order in which they are served
    allowance : how many candidates a job may take in now
    ready : whether a gather has all its input
    worth_s : seconds of work that a slot should find
    """
    found: list[Demand] = []
    for job in jobs:
        if job.closed is not None or job.held is not None or job.plan.is_select:
            continue
        for number, request in enumerate(job.requests):
            candidates, tasks = _at_hand(job, number, allowance, ready)
            if tasks:
                found.append(_demand(job, request, candidates, tasks, now, worth_s))
    return found


def _at_hand(
    job: JobState, number: int, allowance: Allowance, ready: Callable[[JobState], bool]
) -> tuple[int, int]:
    """(candidates, tasks) that wait or run."""
    lane = number if len(job.requests) > 1 else None
    mine = [task for task in job.tasks.values() if lane is None or task.lane == lane]
    waiting = fragmenter.waiting(job, number)
    if job.plan.shape is Shape.GATHER:
        waiting = waiting if ready(job) else 0
        fresh = 1 if waiting else 0
    else:
        waiting = max(0, min(waiting, allowance(job)))
        fresh = ceil(waiting / (job.plan.grain or 1))
    return waiting + sum(task.hi - task.lo for task in mine), fresh + len(mine)


def _demand(
    job: JobState, request: Request, candidates: int, tasks: int, now: float, worth_s: float
) -> Demand:
    each_s = job.pace.candidate_s
    work_s = None if each_s is None else candidates * each_s
    if work_s is None:
        each_s = request[0].walltime_s or _age_s(job, now, worth_s)
        work_s = None if each_s is None else tasks * each_s
    slots = tasks if work_s is None else max(1, min(tasks, ceil(work_s / worth_s)))
    return Demand(job, request, slots, work_s)


def _age_s(job: JobState, now: float, worth_s: float) -> float | None:
    """How long tasks take at least, if one has been at work for long and none has ended yet."""
    ages = [now - task.assigned_at for task in job.tasks.values() if task.state == "assigned"]
    oldest = max(ages, default=0.0)
    return oldest if oldest >= worth_s else None


@dataclass(slots=True)
class _Row:
    """So many slots of a demand have found no place yet."""

    demand: Demand
    left: int


class Layout:
    """Demands laid out over nodes."""

    def __init__(self, wanted: Sequence[Demand], now: float) -> None:
        self._now = now
        self._left = [_Row(each, each.slots * each.nodes_each) for each in wanted if each.slots]

    @property
    def left(self) -> list[Demand]:
        """What found no place."""
        return [row.demand for row in self._left]

    def put_on(self, node: Node, mates: int) -> int:
        """Lay out as much as the empty node takes, one of `mates`; how many slots that were."""
        if not self._left:
            return 0
        room = Distributor(node.resources)
        taken = 0
        for row in self._left:
            each = row.demand
            if placement.refusal(node, each.job, each.request, self._now) is not None:
                continue
            if each.nodes_each > 1:
                if taken or each.nodes_each > mates:
                    continue
                row.left -= 1
                taken = 1
                break
            count = _fill(room, each.request, row.left)
            # Nobody knows how long these take: what one node runs is enough to find out.
            row.left = 0 if count and each.work_s is None else row.left - count
            taken += count
        if taken:
            self._left = [row for row in self._left if row.left > 0]
        return taken


def _fill(room: Distributor, request: Request, most: int) -> int:
    """Take room for up to `most` tasks; how many."""
    count = 0
    for variant in request:
        fits = min(most - count, room.fits(variant))
        if fits > 0:
            room.imagine(variant, fits)
            count += fits
    return count


def imagined(pool: str, resources: Resources, now: float, lasts_s: float) -> Node:
    """A node that is not there yet, as it would be if it came now."""
    node = Node("imagined", pool, resources)
    node.attached = True
    node.begun_at, node.ends_at = now, now + lasts_s
    return node


def empty_copy(node: Node) -> Node:
    """A node as it would be with nothing on it; its link may come back any moment."""
    copy = Node(node.name, node.pool, node.resources)
    copy.attached, copy.state, copy.reason = True, node.state, node.reason
    copy.leaving, copy.ends_at, copy.begun_at = node.leaving, node.ends_at, node.begun_at
    return copy
