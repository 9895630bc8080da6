"""Allocations: what was asked of batch systems, and what became of it.

An allocation is a job of ours in a batch system that holds agents. Its name is its pool's and the
lowest number that is free, so that its node, which bears its name, finds what a predecessor of that
name left behind. It goes from *planned* by *queued* and *running* to *ended*; what the batch system
will not take is *refused*, and what is not needed any more is *released* until it has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from stargen.model import Resources
from stargen.records import AllocationPlanned, AllocationStands

PLANNED, QUEUED, RUNNING, RELEASED = "planned", "queued", "running", "released"
ENDED, REFUSED = "ended", "refused"
OPEN: Final = frozenset({PLANNED, QUEUED, RUNNING, RELEASED})

PAUSES_S: Final = (5.0, 30.0, 120.0, 600.0, 1800.0)
"""How long nothing is asked for after the first refusal, the second in a row, and so on."""


@dataclass(frozen=True, slots=True)
class BatchPool:
    """A pool whose nodes a batch system gives.

    Parameters
    ----------
    node : what one node has
    nodes : of one allocation
    ladder_s : how long allocations may last, the shortest first
    others : see `stargen.config.Batch`
    """

    name: str
    node: Resources
    nodes: int
    max_nodes: int
    max_queued: int
    ladder_s: tuple[float, ...]
    worth_s: float
    idle_s: float
    margin_s: float


class Allocation:
    """One of them."""

    __slots__ = (
        "job_id",
        "joined",
        "name",
        "nodes",
        "pool",
        "reason",
        "since",
        "state",
        "walltime_s",
    )

    def __init__(self, name: str, pool: str, nodes: int, walltime_s: float, at: float) -> None:
        self.name = name
        self.pool = pool
        self.nodes = nodes
        self.walltime_s = walltime_s
        self.state = PLANNED
        self.since = at
        self.job_id = ""
        self.reason = ""
        self.joined = False
        """Whether an agent of it was ever there."""

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def is_coming(self) -> bool:
        """Asked for, and no node of it has joined yet."""
        return self.state in (PLANNED, QUEUED, RUNNING) and not self.joined

    def node_names(self) -> list[str]:
        """What its nodes are called."""
        if self.nodes == 1:
            return [self.name]
        return [f"{self.name}.{rank}" for rank in range(self.nodes)]


class Refusals:
    """What a pool's batch system would not take lately."""

    __slots__ = ("at", "count", "reason")

    def __init__(self, count: int = 0, at: float = 0.0, reason: str = "") -> None:
        self.count = count
        self.at = at
        self.reason = reason

    @property
    def until(self) -> float:
        """Nothing is asked for before then."""
        if not self.count:
            return 0.0
        return self.at + PAUSES_S[min(self.count, len(PAUSES_S)) - 1]


class Allocations:
    """All allocations of a campaign; the last of each name."""

    def __init__(self) -> None:
        self._all: dict[str, Allocation] = {}
        self._refusals: dict[str, Refusals] = {}

    def __iter__(self) -> Iterator[Allocation]:
        return iter(self._all.values())

    def get(self, name: str) -> Allocation | None:
        return self._all.get(name)

    def of_node(self, node: str) -> Allocation | None:
        """The allocation that a node of that name belongs to; None if to none."""
        return self._all.get(node) or self._all.get(node.rpartition(".")[0])

    def open_in(self, pool: str) -> list[Allocation]:
        """Those that have not ended, in the order of asking."""
        return [each for each in self if each.pool == pool and each.is_open]

    def free_name(self, pool: str) -> str:
        """The name of the next one."""
        taken = {each.name for each in self if each.is_open}
        number = 1
        while f"{pool}-{number}" in taken:
            number += 1
        return f"{pool}-{number}"

    def refusals(self, pool: str) -> Refusals:
        return self._refusals.setdefault(pool, Refusals())

    # --- changes ----------------------------------------------------------------------------------

    def plan(self, r: AllocationPlanned) -> None:
        self._all.pop(r.name, None)
        self._all[r.name] = Allocation(r.name, r.pool, r.nodes, r.walltime_s, r.at)

    def stand(self, r: AllocationStands) -> None:
        allocation = self._all.get(r.name)
        if allocation is None:
            return
        failed = r.state == REFUSED or (
            r.state == ENDED and not allocation.joined and allocation.state != RELEASED
        )
        if failed:
            refusals = self.refusals(allocation.pool)
            refusals.count, refusals.at, refusals.reason = refusals.count + 1, r.at, r.reason
        allocation.state, allocation.since, allocation.reason = r.state, r.at, r.reason
        allocation.job_id = r.job_id or allocation.job_id

    def join(self, node: str, at: float) -> None:
        """An agent of it is there: whatever was wrong with its pool is so no more."""
        allocation = self.of_node(node)
        if allocation is None or not allocation.is_open:
            return
        allocation.joined = True
        if allocation.state in (PLANNED, QUEUED):
            allocation.state, allocation.since, allocation.reason = RUNNING, at, ""
        self._refusals.pop(allocation.pool, None)

    # --- snapshot ---------------------------------------------------------------------------------

    def form(self) -> list[Any]:
        return [
            [[getattr(each, name) for name in Allocation.__slots__] for each in self],
            [[pool, r.count, r.at, r.reason] for pool, r in self._refusals.items()],
        ]

    @classmethod
    def from_form(cls, form: list[Any]) -> Allocations:
        made = cls()
        for values in form[0]:
            table = dict(zip(Allocation.__slots__, values, strict=True))
            each = Allocation("", "", 1, 0.0, 0.0)
            for name, value in table.items():
                setattr(each, name, value)
            made._all[each.name] = each
        for pool, count, at, reason in form[1]:
            made._refusals[pool] = Refusals(count, at, reason)
        return made
