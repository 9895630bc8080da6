"""Aggregator: where arriving candidates go, which of them a select lets through, when a job ends.

A candidate is routed once, when it arrives and its envelope is at hand; what was decided is written
down (`Routed`), so that nothing has to be decided, or read, again.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from math import inf
from typing import TYPE_CHECKING

from stargen.crystal import Envelope
from stargen.model import Location, Request, Shape

if TYPE_CHECKING:
    from stargen.scheduling.jobs import JobState

PARTITIONS = 64
"""Lanes of a keyed job; one task at a time in each. Fixed, because journals remember lanes."""


def text_hash(text: str) -> int:
    """64 bits that stand for a key or a candidate id; the same on every machine."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


class Ranking:
    """The best so far of each group of a select with a limit, smallest rank first, ties by arrival.

    Without `per` all are one group. A group is known by the hash of its name.
    """

    __slots__ = ("_groups", "_where", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._groups: dict[int, list[tuple[float, int, int]]] = {}
        self._where: dict[tuple[int, int], Location] = {}

    def __len__(self) -> int:
        return len(self._where)

    def ranks(self, group: int) -> list[float]:
        return [rank for rank, _, _ in self._groups.get(group, ())]

    def offer(self, rank: float, group: int, input_: int, position: int, where: Location) -> None:
        """One more candidate; the worst of its group goes if there are too many."""
        if rank == inf:
            return
        order = self._groups.setdefault(group, [])
        if len(order) >= self.limit and rank >= order[-1][0]:
            return
        insort(order, (rank, input_, position))
        self._where[input_, position] = where
        if len(order) > self.limit:
            _, i, p = order.pop()
            del self._where[i, p]

    def winners(self) -> list[tuple[int, int]]:
        """(input, position) of all that are in, best first."""
        return [(i, p) for _, i, p in sorted(chain.from_iterable(self._groups.values()))]

    def location(self, input_: int, position: int) -> Location:
        return self._where[input_, position]

    def clear(self) -> None:
        self._groups.clear()
        self._where.clear()

    def state(self) -> list[list[float | int]]:
        return [
            [rank, i, p, *self._where[i, p], group]
            for group, order in self._groups.items()
            for rank, i, p in order
        ]

    def load(self, state: list[list[float | int]]) -> None:
        self.clear()
        for rank, i, p, segment, offset, size, *group in state:
            at = (int(i), int(p))
            key = int(group[0]) if group else 0  # older snapshots know of one group only
            self._groups.setdefault(key, []).append((rank, *at))
            self._where[at] = Location(int(segment), int(offset), int(size))


@dataclass(slots=True)
class Routes:
    """What was decided for a run of arriving candidates; the columns of a `Routed` record.

    `opened`: resource requests met for the first time, in the order of the lanes they open.
    """

    lanes: list[int]
    keys: list[int]
    ranks: list[float]
    ids: list[int]
    opened: list[Request]


def route(job: JobState, envelopes: Sequence[Envelope]) -> Routes:
    """Tell each candidate its lane, in order of arrival; -1 turns it away."""
    plan = job.plan
    routes = Routes([], [], [], [], [])
    fresh = [True] * len(envelopes)
    if len(plan.inputs) > 1:
        routes.ids = [text_hash(envelope.candidate_id) for envelope in envelopes]
        fresh = _first_time(job.seen, routes.ids)
    if plan.is_select:
        _route_select(job, envelopes, fresh, routes)
    elif plan.shape is Shape.KEYED and plan.key_of is not None:
        routes.keys = [text_hash(plan.key_of(envelope)) for envelope in envelopes]
        routes.lanes = [
            key % PARTITIONS if new else -1 for key, new in zip(routes.keys, fresh, strict=True)
        ]
    elif plan.request_of is not None:
        _route_by_request(job, envelopes, fresh, routes)
    else:
        routes.lanes = [0 if new else -1 for new in fresh]
    return routes


def _first_time(seen: set[int], ids: list[int]) -> list[bool]:
    now: set[int] = set()
    first: list[bool] = []
    for each in ids:
        first.append(each not in seen and each not in now)
        now.add(each)
    return first


def _route_select(
    job: JobState, envelopes: Sequence[Envelope], fresh: list[bool], routes: Routes
) -> None:
    predicate, rank_of = job.plan.predicate, job.plan.rank
    passes = [
        new and (predicate is None or predicate(envelope))
        for envelope, new in zip(envelopes, fresh, strict=True)
    ]
    if rank_of is None or job.ranking is None:
        routes.lanes = [0 if ok else -1 for ok in passes]
        return
    ranks = [
        rank_of(envelope) if ok else None for envelope, ok in zip(envelopes, passes, strict=True)
    ]
    group_of = job.plan.group
    groups = None if group_of is None else [group_of(envelope) for envelope in envelopes]
    if groups is not None:
        ranks = [None if group is None else rank for rank, group in zip(ranks, groups, strict=True)]
        routes.keys = [0 if group is None else text_hash(group) for group in groups]
    routes.ranks = [inf if rank is None or rank != rank else float(rank) for rank in ranks]
    if not job.plan.spec.select or not job.plan.spec.select.rolling:
        routes.lanes = [-1] * len(envelopes)
        return
    best, limit = dict[int, list[float]](), job.ranking.limit
    for rank, group in zip(routes.ranks, routes.keys or [0] * len(envelopes), strict=True):
        order = best.setdefault(group, job.ranking.ranks(group))
        enters = rank != inf and (len(order) < limit or rank < order[-1])
        if enters:
            insort(order, rank)
            del order[limit:]
        routes.lanes.append(0 if enters else -1)


def _route_by_request(
    job: JobState, envelopes: Sequence[Envelope], fresh: list[bool], routes: Routes
) -> None:
    request_of = job.plan.request_of
    assert request_of is not None
    known = {request: lane for lane, request in enumerate(job.requests)}
    for envelope, new in zip(envelopes, fresh, strict=True):
        if not new:
            routes.lanes.append(-1)
            continue
        request = request_of(envelope)
        if request not in known:
            known[request] = len(known)
            routes.opened.append(request)
        routes.lanes.append(known[request])


def all_arrived(job: JobState, upstream: Sequence[JobState]) -> bool:
    """True if nothing more can come in and everything that came has been routed."""
    if any(up.closed is None for up in upstream):
        return False
    return not job.routes or all(
        arrived == up.out.length for arrived, up in zip(job.arrived, upstream, strict=True)
    )


def is_complete(job: JobState, upstream: Sequence[JobState]) -> bool:
    """True if the job has nothing left to do, ever."""
    if job.tasks or job.cannot_end or not all_arrived(job, upstream):
        return False
    return all(lane.complete for lane in job.lanes)
