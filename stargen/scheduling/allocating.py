"""Allocating: how many nodes to ask batch systems for, and which to give back.

Every tick asks what the work at hand would do with more nodes (whatif.py). An allocation is asked
for while one more would find work, within the pool's limits; the shortest walltime is taken in
which the work fits. After a refusal, or an allocation that ended before an agent came, nothing is
asked for a while that grows with each. What has found nothing to do for `idle_s` is given back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stargen.model import Request
from stargen.quantities import duration
from stargen.records import AllocationPlanned, AllocationStands, NodeState
from stargen.scheduling import placement
from stargen.scheduling.allocations import (
    ENDED,
    PLANNED,
    QUEUED,
    REFUSED,
    RELEASED,
    RUNNING,
    Allocation,
    BatchPool,
)
from stargen.scheduling.desk import Desk
from stargen.scheduling.events import AllocationSeen, ReleaseAllocation, SubmitAllocation
from stargen.scheduling.jobs import JobState
from stargen.scheduling.nodelist import DRAINING, LEFT, LOST, Node
from stargen.scheduling.placing import Placer
from stargen.scheduling.standing import Standing
from stargen.scheduling.whatif import Demand, Layout, demands, empty_copy, imagined

NODES_PER_S = 400
"""So many nodes are looked at a second: each costs the master some 40 microseconds."""

RECENT_S = 600.0
"""For so long people are told of an allocation that has ended."""


class Allocating:
    """Keeps as many nodes of batch systems as there is work for."""

    def __init__(
        self,
        desk: Desk,
        placer: Placer,
        standing: Standing,
        order: Callable[[JobState], tuple[int, int]],
        pools: Sequence[BatchPool],
    ) -> None:
        self.desk = desk
        self.placer = placer
        self.standing = standing
        self.state = desk.state
        self.pools = {pool.name: pool for pool in pools}
        self._order = order
        self._next_at = 0.0
        self._useless_since: dict[str, float] = {}
        """When it was first seen that an allocation has, or would have, nothing to do."""

    # --- what the batch system says ---------------------------------------------------------------

    def on_seen(self, event: AllocationSeen) -> None:
        allocation = self.state.allocations.get(event.name)
        if allocation is None or not allocation.is_open:
            return
        if event.state in (QUEUED, RUNNING):
            backwards = event.state == QUEUED and allocation.state == RUNNING
            same = (event.state, event.reason) == (allocation.state, allocation.reason)
            if allocation.state == RELEASED or backwards or (same and allocation.job_id):
                return
        self.desk.commit(
            AllocationStands(event.at, event.name, event.state, event.reason, event.job_id)
        )
        if event.state in (ENDED, REFUSED):
            self._useless_since.pop(event.name, None)
        if event.state == ENDED:
            self._after(allocation)

    def _after(self, allocation: Allocation) -> None:
        """Nodes of an allocation that is over have gone, or have to go."""
        reason = f"its allocation ended: {_first_line(allocation.reason) or 'nobody says why'}"
        for name in allocation.node_names():
            node = self.state.nodes.get(name)
            if node is None or node.state in (LOST, LEFT):
                continue
            if node.attached:
                self.desk.command(ReleaseAllocation(allocation.name, reason))
            else:
                self.standing.depart(node, reason)

    # --- more and fewer ---------------------------------------------------------------------------

    def on_tick(self, now: float) -> None:
        """Ask for what would find work, give back what finds none."""
        if not self.pools or self.desk.stopping or self.desk.disk_full or self.state.ended:
            return
        if now < self._next_at:
            return
        self._next_at = now + len(self.state.nodes) / NODES_PER_S
        for pool in self.pools.values():
            layout = self._laid_out(pool, now)
            self._give_back(pool, now)
            self._ask(pool, layout, now)

    def _laid_out(self, pool: BatchPool, now: float) -> Layout:
        """The work at hand over the nodes that there are, and those that are on their way."""
        jobs = sorted(self.state.jobs, key=self._order)
        placer = self.placer
        wanted = demands(jobs, placer.allowance, placer.gather_ready, now, pool.worth_s)
        layout = Layout(wanted, now)
        mates: dict[str, int] = {}
        for node in self.state.nodes:
            mates[node.allocation] = mates.get(node.allocation, 0) + 1
        for node in self.state.nodes:
            if node.state not in (LOST, LEFT):
                layout.put_on(empty_copy(node), mates[node.allocation])
        for allocation in self.state.allocations:
            its = self.pools.get(allocation.pool)
            if allocation.is_coming and its is not None:
                taken = self._put(layout, its, allocation.walltime_s, now)
                if its is pool and allocation.state == QUEUED:
                    self._note_use(allocation, bool(taken), now)
        return layout

    def _put(self, layout: Layout, pool: BatchPool, walltime_s: float, now: float) -> int:
        """Lay work out over one more allocation; how many slots of it would be busy."""
        lasts_s = walltime_s - pool.margin_s
        nodes = [imagined(pool.name, pool.node, now, lasts_s) for _ in range(pool.nodes)]
        return sum(layout.put_on(node, pool.nodes) for node in nodes)

    def _note_use(self, allocation: Allocation, useful: bool, now: float) -> None:
        if useful:
            self._useless_since.pop(allocation.name, None)
        else:
            self._useless_since.setdefault(allocation.name, now)

    def _ask(self, pool: BatchPool, layout: Layout, now: float) -> None:
        while self._hindrance(pool, now) is None:
            walltime_s = self._rung(pool, layout.left, now)
            if walltime_s is None or not self._put(layout, pool, walltime_s, now):
                return
            name = self.state.allocations.free_name(pool.name)
            at = self.desk.at
            self.desk.commit(AllocationPlanned(at, name, pool.name, pool.nodes, walltime_s))
            self.desk.command(SubmitAllocation(name, pool.name, pool.nodes, walltime_s))

    def _hindrance(self, pool: BatchPool, now: float) -> str | None:
        """Why the pool gets no more at the moment, whatever the work; None if it may."""
        allocations = self.state.allocations
        there = allocations.open_in(pool.name)
        nodes = sum(each.nodes for each in there)
        if nodes + pool.nodes > pool.max_nodes:
            return f"{nodes} nodes are asked for, and max_nodes is {pool.max_nodes}"
        waiting = sum(each.state in (PLANNED, QUEUED) for each in there)
        if waiting >= pool.max_queued:
            return f"{waiting} allocations wait, and max_queued is {pool.max_queued}"
        refusals = allocations.refusals(pool.name)
        if refusals.until > now:
            return f"the next try is in {duration(refusals.until - now)}"
        return None

    def _rung(self, pool: BatchPool, left: Sequence[Demand], now: float) -> float | None:
        """The shortest walltime that the work fits in; None if none of it fits the pool."""
        found: float | None = None
        for walltime_s in pool.ladder_s:
            lasts_s = walltime_s - pool.margin_s
            node = imagined(pool.name, pool.node, now, lasts_s)
            able = [d for d in left if _takes(node, pool, d, now)]
            if len(able) == len(left) and self._work_s(pool, able) <= lasts_s and able:
                return walltime_s
            found = walltime_s if able else found
        return found

    def _work_s(self, pool: BatchPool, able: Sequence[Demand]) -> float:
        """How long the pool would be busy with it, with all the nodes that it may have."""
        total = 0.0
        for demand in able:
            slots = imagined(pool.name, pool.node, 0.0, 0.0).distributor.slots(demand.request[0])
            total += (demand.work_s or 0.0) / max(1, slots * pool.max_nodes)
        return total

    def _give_back(self, pool: BatchPool, now: float) -> None:
        for allocation in self.state.allocations.open_in(pool.name):
            if allocation.state == RUNNING and allocation.joined:
                self._note_use(allocation, self._is_useful(allocation), now)
            since = self._useless_since.get(allocation.name)
            if since is not None and now - since >= pool.idle_s and allocation.state != RELEASED:
                self._release(allocation, f"no work for {duration(now - since)}")

    def _is_useful(self, allocation: Allocation) -> bool:
        """Whether a node of it has work; also if they have all left: then it ends by itself."""
        found = [self.state.nodes.get(name) for name in allocation.node_names()]
        there = [node for node in found if node is not None and node.state not in (LOST, LEFT)]
        busy = any(not node.distributor.idle or node.gang is not None for node in there)
        return busy or not there

    def _release(self, allocation: Allocation, reason: str) -> None:
        del self._useless_since[allocation.name]
        for name in allocation.node_names():
            node = self.state.nodes.get(name)
            if node is not None and node.state not in (LOST, LEFT):
                self.desk.commit(NodeState(self.desk.at, name, DRAINING, reason))
        self.desk.commit(AllocationStands(self.desk.at, allocation.name, RELEASED, reason))
        self.desk.command(ReleaseAllocation(allocation.name, reason))

    # --- for people -------------------------------------------------------------------------------

    def explain(self, job: JobState, request: Request, now: float) -> Iterator[str]:
        """What batch systems may do for tasks of a job."""
        for pool in self.pools.values():
            if job.plan.spec.pool not in (None, pool.name):
                continue
            ends = [pool_s - pool.margin_s for pool_s in pool.ladder_s]
            nodes = [imagined(pool.name, pool.node, now, lasts_s) for lasts_s in ends]
            refused = [placement.refusal(node, job, request, now) for node in nodes]
            useless = f"a new node would not help: {refused[-1]}" if None not in refused else None
            parts = [*self._standing_of(pool, now), useless or self._next(pool, now)]
            yield f"Pool {pool.name}: {'; '.join(parts)}."

    def explain_pool(self, name: str, now: float) -> list[str]:
        """How a pool stands with its batch system, and what happens next."""
        pool = self.pools[name]
        return [f"{line}." for line in (*self._standing_of(pool, now), self._next(pool, now))]

    def _standing_of(self, pool: BatchPool, now: float) -> Iterator[str]:
        for allocation in self.state.allocations:
            recent = allocation.state == ENDED and now - allocation.since < RECENT_S
            if allocation.pool == pool.name and (allocation.is_open or recent):
                yield _words(allocation, now)
        refusals = self.state.allocations.refusals(pool.name)
        if refusals.count:
            again = f" {refusals.count} times in a row" if refusals.count > 1 else ""
            ago = duration(max(0.0, now - refusals.at))
            reason = refusals.reason.strip()
            yield f"the batch system gave no node{again}, last {ago} ago: {reason}"

    def _next(self, pool: BatchPool, now: float) -> str:
        return self._hindrance(pool, now) or self._enough(pool, now)

    def _enough(self, pool: BatchPool, now: float) -> str:
        if self._rung(pool, self._laid_out(pool, now).left, now) is not None:
            return "one more allocation is about to be asked for"
        return "there is work for no more nodes than those"


def _takes(node: Node, pool: BatchPool, demand: Demand, now: float) -> bool:
    refused = placement.refusal(node, demand.job, demand.request, now)
    return refused is None and demand.nodes_each <= pool.nodes


def _words(allocation: Allocation, now: float) -> str:
    since = duration(max(0.0, now - allocation.since))
    reason = f" ({_first_line(allocation.reason)})" if allocation.reason else ""
    job = f", job {allocation.job_id}" if allocation.job_id else ""
    return f"{allocation.name}{job} is {allocation.state} since {since}{reason}"


def _first_line(text: str) -> str:
    return text.partition("\n")[0].strip()
