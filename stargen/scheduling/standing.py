"""Standing: nodes come, fall silent, are given up, and come back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stargen.messages import AttemptRef, TaskFault
from stargen.records import AssignedRow, NodeJoined, NodeLost, NodeState, TasksAssigned
from stargen.scheduling import fragmenter, placement
from stargen.scheduling.desk import Desk
from stargen.scheduling.events import (
    NodeAttached,
    NodeDetached,
    NodeLeaving,
    NodeRemoved,
    SettleInventory,
    TakeBackTasks,
    TasksGivenBack,
)
from stargen.scheduling.failing import Failing
from stargen.scheduling.nodelist import LEFT, LOST, Node, resources_form


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a node may be silent before its tasks are given to others.

    The wait grows by `share` of the age of the longest task it runs, up to `most_s`: ten hours of
    DFT are worth more patience than a filter.
    """

    lost_after_s: float = 60.0
    share: float = 0.1
    most_s: float = 3600.0


class Standing:
    """Keeps the Nodelist true and its tasks accounted for."""

    def __init__(self, desk: Desk, failing: Failing, patience: Patience) -> None:
        self.desk = desk
        self.failing = failing
        self.patience = patience
        self.state = desk.state

    def on_attached(self, event: NodeAttached) -> None:
        resources = resources_form(event.resources)
        self.desk.commit(
            NodeJoined(
                event.at, event.node, event.pool, event.agent_id, event.incarnation, resources
            )
        )
        node = self.state.nodes[event.node]
        self.state.nodes.link(event.node, up=True, at=event.at)
        node.leaving = ""
        node.begun_at, node.ends_at = event.at, event.ends_at
        node.allocation = event.allocation or event.pool
        keep, cancel = self._sort_attempts(event.running)
        orphans = [ref for ref in keep if self._is_broken_gang(node, ref)]
        keep = [ref for ref in keep if ref not in orphans]
        cancel += orphans
        deliver, forget = self._sort_attempts(event.spooled)
        self._return_missing(node, {*keep, *deliver})
        self._adopt(node, keep + [ref for ref in deliver if self._is_latest(ref)])
        self.desk.command(SettleInventory(event.node, keep, cancel + forget, deliver))
        self.desk.wake_all()

    def _sort_attempts(
        self, attempts: Iterable[AttemptRef]
    ) -> tuple[list[AttemptRef], list[AttemptRef]]:
        """Those whose task is still open, and the others."""
        wanted: list[AttemptRef] = []
        unwanted: list[AttemptRef] = []
        for ref in attempts:
            jobs = self.state.jobs
            is_open = 0 <= ref.job < len(jobs) and ref.ordinal in jobs[ref.job].tasks
            (wanted if is_open else unwanted).append(ref)
        return wanted, unwanted

    def _is_broken_gang(self, node: Node, ref: AttemptRef) -> bool:
        """True for a gang that was given up: its other nodes may have other work by now."""
        job, task = self.state.jobs[ref.job], self.state.jobs[ref.job].tasks[ref.ordinal]
        return job.request_for(task.lane)[0].nodes > 1 and not (
            task.state == "assigned" and task.node == node.name and self._is_latest(ref)
        )

    def _is_latest(self, ref: AttemptRef) -> bool:
        """False for what an earlier attempt left in a spool: it may be a failure, known already."""
        task = self.state.jobs[ref.job].tasks[ref.ordinal]
        return (task.epoch, task.n) == (ref.epoch, ref.n)

    def _return_missing(self, node: Node, there: set[AttemptRef]) -> None:
        """Attempts that the node was believed to have and has not go back to the queue."""
        gone: list[tuple[int, int]] = []
        for job_index, ordinal in node.distributor.attempts:
            task = self.state.jobs[job_index].tasks[ordinal]
            if AttemptRef(job_index, ordinal, task.epoch, task.n) not in there:
                gone.append((job_index, ordinal))
        self.desk.return_tasks(gone, f"not on {node.name} when it attached")

    def _adopt(self, node: Node, attempts: list[AttemptRef]) -> None:
        """Attempts that live on this node although their task was given up: it has them again."""
        rows: dict[int, list[AssignedRow]] = {}
        for ref in attempts:
            task = self.state.jobs[ref.job].tasks[ref.ordinal]
            if task.state == "queued":
                rows.setdefault(ref.job, []).append(
                    AssignedRow(task.ordinal, ref.n, task.lane, task.lo, task.hi, ref.epoch)
                )
        for job_index, adopted in rows.items():
            self.desk.commit(TasksAssigned(self.desk.at, job_index, node.name, adopted))
            taken = {row.ordinal for row in adopted}
            retry = self.state.jobs[job_index].retry
            left = [ordinal for ordinal in retry if ordinal not in taken]
            retry.clear()
            retry.extend(left)

    def on_leaving(self, event: NodeLeaving) -> None:
        node = self.state.nodes.get(event.node)
        if node is not None:
            node.leaving = event.reason

    def on_detached(self, event: NodeDetached) -> None:
        node = self.state.nodes.get(event.node)
        if node is None:
            return
        self.state.nodes.link(event.node, up=False, at=event.at)
        if node.state in (LOST, LEFT):
            return
        allocation = self.state.allocations.of_node(event.node)
        if allocation is not None and (event.left or not allocation.is_open):
            self.depart(node, event.reason)
        elif event.final:
            self._lose(node, event.reason)

    def on_removed(self, event: NodeRemoved) -> None:
        node = self.state.nodes.get(event.node)
        if node is not None and node.state not in (LOST, LEFT):
            self.depart(node, event.reason)

    def depart(self, node: Node, reason: str) -> None:
        """The node's allocation is over, or its agent said goodbye; what it has is not coming."""
        if node.distributor.idle and node.gang is None:
            self.desk.commit(NodeState(self.desk.at, node.name, LEFT, reason))
        else:
            self._lose(node, reason)

    def _lose(self, node: Node, reason: str) -> None:
        """Give the node up; what has brought down too many nodes is set aside."""
        had = list(node.distributor.attempts)
        if node.gang is not None and node.gang not in had:
            had.append(node.gang)
            job = self.state.jobs[node.gang[0]]
            self.desk.cancel(job, [job.tasks[node.gang[1]]], f"{node.name} of its nodes is lost")
        self.desk.commit(NodeLost(self.desk.at, node.name, reason))
        for job_index, ordinal in had:
            job = self.state.jobs[job_index]
            task = job.tasks[ordinal]
            if task.tried("infrastructure") > job.plan.spec.retries.infrastructure:
                fault = TaskFault(
                    job_index,
                    ordinal,
                    task.epoch,
                    task.n,
                    "infrastructure",
                    "node lost",
                    f"{task.tried('infrastructure')} nodes were lost under it, last {node.name}",
                )
                self.failing.fail(job, task, fault, node.name)
            self.desk.wake(job)

    def on_given_back(self, event: TasksGivenBack) -> None:
        keys: list[tuple[int, int]] = []
        for ref in event.attempts:
            task = self.state.jobs[ref.job].tasks.get(ref.ordinal)
            if task and task.state == "assigned" and (task.epoch, task.n) == (ref.epoch, ref.n):
                keys.append((ref.job, ref.ordinal))
        self.desk.return_tasks(keys, event.reason)

    def on_tick(self, now: float) -> None:
        """Give up who was silent too long; share out what was sent ahead of need."""
        for node in self.state.nodes:
            if node.attached or node.detached_at is None or node.state in (LOST, LEFT):
                continue
            silent_s = now - node.detached_at
            if silent_s > self._patience_with(node, now):
                self._lose(node, f"silent for {silent_s:.0f} s")
        self._take_back_surplus(now)

    def _patience_with(self, node: Node, now: float) -> float:
        ages = [
            now - self.state.jobs[job].tasks[ordinal].assigned_at
            for job, ordinal in list(node.distributor.attempts)[:64]
        ]
        longest = max(ages, default=0.0)
        patience = self.patience
        return max(patience.lost_after_s, min(patience.share * longest, patience.most_s))

    def _take_back_surplus(self, now: float) -> None:
        """When a node idles and a job has no more to give, others share what was sent ahead."""
        nodes = [node for node in self.state.nodes if node.takes_work]
        idle = [node for node in nodes if node.distributor.idle]
        if not idle or len(nodes) < 2:
            return
        for job in self.state.jobs:
            if job.closed or job.plan.is_select or fragmenter.waiting(job, 0) or job.retry:
                continue
            request = job.requests[0]
            if all(placement.refusal(node, job, request, now) is not None for node in idle):
                continue
            for node in nodes:
                held = node.distributor.held(job.index)
                ahead = min(held, node.distributor.prefilled(request[0])) if held else 0
                if ahead > 0:
                    self.desk.command(TakeBackTasks(node.name, job.index, -(-ahead // 2)))
