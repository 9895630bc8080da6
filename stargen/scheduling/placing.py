"""Placing: what a job has to send goes to whoever has room, as far as its readers have room."""

from __future__ import annotations

from collections.abc import Sequence

from stargen.model import Location, Request, Resources, Shape
from stargen.records import AssignedRow, TasksAssigned
from stargen.scheduling import aggregator, fragmenter, gangs, placement
from stargen.scheduling.desk import Desk
from stargen.scheduling.events import SendRow, SendTasks
from stargen.scheduling.jobs import JobState, Task
from stargen.scheduling.nodelist import Node
from stargen.scheduling.streams import KeyedLane

UNBOUNDED = 1 << 40
"""Room where nothing bounds it."""


class Placer:
    """Fills the task buffers of the nodes."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.state = desk.state
        self._waits_since: dict[int, float] = {}
        """Since when what a job has left waits for nodes that hold its data."""

    def place(self, job: JobState) -> None:
        """Send what this job has to whoever has room."""
        if job.closed is not None or (not job.retry and not self.has_fresh(job)):
            self.desk.active.discard(job.index)
            return
        if job.held is not None:
            return
        self._place_retries(job)
        if job.plan.shape is Shape.GATHER and not self.gather_ready(job):
            return
        for number, request in enumerate(job.requests):
            if gangs.is_gang(request):
                self._place_gangs(job, number, request)
            else:
                self._place_fresh(job, number, request)

    def has_fresh(self, job: JobState) -> bool:
        return any(fragmenter.waiting(job, number) for number in range(len(job.requests)))

    def gather_ready(self, job: JobState) -> bool:
        return aggregator.all_arrived(job, self.state.inputs_of(job))

    def _place_fresh(self, job: JobState, number: int, request: Request) -> None:
        waiting = fragmenter.waiting(job, number)
        if not waiting:
            self._waits_since.pop(job.index, None)
            return
        allowance = waiting if job.plan.shape is Shape.GATHER else self.allowance(job)
        if allowance <= 0:
            return
        if job.plan.shape is Shape.GATHER:
            size = waiting
        else:
            size = fragmenter.grain(job, self.state.nodes.slots(request[0]), waiting)
        wanted = -(-min(waiting, allowance) // size)
        nodes = self._able_nodes(job, number, request, -(-wanted // placement.least_share(job)))
        nodes = self._prefer_warm(job, request, wanted, nodes)
        shares = placement.shares(job, request, wanted, nodes, len(self.state.nodes))
        total = sum(share.tasks for share in shares)
        if not total:
            return
        ranges = fragmenter.cut(job, number, size, total, allowance)
        at = 0
        for share in shares:
            mine = ranges[at : at + share.tasks]
            at += share.tasks
            if mine:
                epoch, variant, n = self.state.epoch, share.variant, self.state.last_n + 1
                tasks = [
                    AssignedRow(ordinal, n + i, lane, lo, hi, epoch, variant)
                    for i, (ordinal, (lane, lo, hi)) in enumerate(enumerate(mine, job.next_ordinal))
                ]
                self._send(job, share.node, tasks)
                self.desk.openings.used((job.index, number), share.node)

    def _prefer_warm(
        self, job: JobState, request: Request, wanted: int, nodes: list[Node]
    ) -> list[Node]:
        """Leave out nodes that would have to load the job's data, if that pays; not for long."""
        key = job.plan.affinity
        if key is None:
            return nodes
        warm = [node for node in self.state.nodes if node.takes_work and key in node.loaded]
        more = self._worth_loading(job) - len(warm)
        if placement.worth_waiting(job, request, wanted, warm):
            more = 0
        cold = [node for node in nodes if key not in node.loaded]
        if len(cold) <= more:
            self._waits_since.pop(job.index, None)
            return nodes
        since = self._waits_since.setdefault(job.index, self.desk.at)
        if self.desk.at - since > placement.WARM_WAIT_S:
            return nodes
        return [node for node in nodes if key in node.loaded] + cold[: max(0, more)]

    def _worth_loading(self, job: JobState) -> int:
        """How many nodes may load the job's data.

        All; but while nobody knows what its tasks cost, jobs that need other data have their share.
        """
        if job.pace.task_s is not None:
            return len(self.state.nodes)
        others = (self.state.jobs[index] for index in self.desk.active)
        keys = {each.plan.affinity for each in others if each.held is None}
        return max(1, len(self.state.nodes) // len(keys - {None} | {job.plan.affinity}))

    def _place_gangs(self, job: JobState, number: int, request: Request) -> None:
        """Tasks that have several nodes for themselves, one after another."""
        while waiting := fragmenter.waiting(job, number):
            allowance = waiting if job.plan.shape is Shape.GATHER else self.allowance(job)
            if allowance <= 0:
                return
            gang = self._gang(job, request)
            if gang is None:
                return
            whole = job.plan.shape is Shape.GATHER
            slots = self.state.nodes.slots(request[0])
            size = waiting if whole else fragmenter.grain(job, slots, waiting)
            ranges = fragmenter.cut(job, number, size, 1, allowance)
            if not ranges:
                return
            variant, nodes = gang
            n, epoch = self.state.last_n + 1, self.state.epoch
            row = AssignedRow(job.next_ordinal, n, *ranges[0], epoch, variant)
            self._send(job, nodes[0], [row], nodes[1:])

    def _gang(self, job: JobState, request: Request) -> tuple[int, list[Node]] | None:
        """Nodes for a gang; if there are not enough, the best are kept free from here on."""
        nodes, now = self.state.nodes, self.desk.at
        gang = gangs.free_gang(nodes, job, request, now)
        if gang is None:
            gangs.save_nodes(nodes, job, request, now)
        return gang

    def _able_nodes(self, job: JobState, number: int, request: Request, most: int) -> list[Node]:
        """Nodes that can take some tasks, at most so many.

        Retries, which may ask for more than their class, look for themselves: numbers below 0.
        """
        able: list[Node] = []
        openings, task_class = self.desk.openings, (job.index, number)
        among = len(self.state.nodes)
        candidates = openings.candidates(task_class)
        key = job.plan.affinity
        if key is not None:
            candidates = sorted(candidates, key=lambda node: key not in node.loaded)
        for node in candidates:
            refused = placement.refusal(node, job, request, self.desk.at) is not None
            if refused or not placement.has_room(job, request, node, among):
                openings.full(task_class, node)
                continue
            able.append(node)
            if len(able) >= most:
                break
        return able

    def _place_retries(self, job: JobState) -> None:
        """Tasks that wait for another try, each by its own request."""
        for _ in range(len(job.retry)):
            ordinal = job.retry.popleft()
            task = job.tasks.get(ordinal)
            if task is None or task.state != "queued":
                continue
            if not self._next_in_lane(job, task) or not self._send_again(job, task):
                job.retry.append(ordinal)

    def _next_in_lane(self, job: JobState, task: Task) -> bool:
        """A keyed lane's tasks run one after another, in order."""
        if job.plan.shape is not Shape.KEYED or task.pinned is not None:
            return True
        return task.lo == job.lanes[task.lane].done.floor

    def _send_again(self, job: JobState, task: Task) -> bool:
        request = job.request_for(task.lane)
        variants = tuple(self.state.request_of(job, task, v) for v in range(len(request)))
        if gangs.is_gang(variants):
            gang = self._gang(job, variants)
            if gang is not None:
                variant, (leader, *others) = gang
                self._send(job, leader, [self._row_again(task, variant)], others)
            return gang is not None
        number = task.lane if len(job.requests) > 1 else 0
        nodes = self._able_nodes(job, -1 - number, variants, len(self.state.nodes))
        if task.failed_on and self._others_could(job, variants, task.failed_on):
            nodes = [node for node in nodes if node.name != task.failed_on]
        for share in placement.shares(job, variants, 1, nodes, len(self.state.nodes)):
            self._send(job, share.node, [self._row_again(task, share.variant)])
            return True
        return False

    def _others_could(self, job: JobState, request: Request, name: str) -> bool:
        """Whether a node that is not called so could take such a task, now or when it has room."""
        return any(
            node.name != name and placement.refusal(node, job, request, self.desk.at) is None
            for node in self.state.nodes
        )

    def _row_again(self, task: Task, variant: int) -> AssignedRow:
        n, epoch = self.state.last_n + 1, self.state.epoch
        return AssignedRow(task.ordinal, n, task.lane, task.lo, task.hi, epoch, variant)

    def _send(
        self, job: JobState, node: Node, rows: list[AssignedRow], others: Sequence[Node] = ()
    ) -> None:
        """Assign the tasks, and tell the node; `others` work with it on the one task there is."""
        members = [other.name for other in others]
        self.desk.commit(TasksAssigned(self.desk.at, job.index, node.name, rows, members))
        gang = [node.name, *members] if members else []
        grouped: dict[Resources, list[SendRow]] = {}
        request, sends = None, list[SendRow]()
        for row in rows:
            task = job.tasks[row.ordinal]
            assert task.request is not None
            if task.request is not request:
                request = task.request
                sends = grouped.setdefault(request, [])
            sends.append(self._send_row(job, task))
        for resources, sends in grouped.items():
            self.desk.command(
                SendTasks(node.name, job.index, resources, job.plan.spec.priority, sends, gang)
            )

    def _send_row(self, job: JobState, task: Task) -> SendRow:
        lane = job.lanes[task.lane]
        if task.pinned is not None:
            where = [task.pinned] if task.pinned.size else []
            steered = job.params_at(task.lo) if job.steered else b""
            return SendRow(task.ordinal, task.n, task.lo, task.hi, where, [], steered)
        entries = lane.locations(task.lo, task.hi)
        kept = self._kept(job, lane, task) if isinstance(lane, KeyedLane) else []
        steered = job.params_at(task.lo) if job.steered else b""
        return SendRow(task.ordinal, task.n, task.lo, task.hi, entries, kept, steered)

    def _kept(self, job: JobState, lane: KeyedLane, task: Task) -> list[Location]:
        """What the keys of the task's candidates have kept so far."""
        keys = lane.keys(task.lo, task.hi)
        return [location for key in keys for location in job.kept_locations(key)]

    def allowance(self, job: JobState) -> int:
        """How many candidates this job may take in now without overfilling what lies downstream."""
        room = min((self._edge_room(d, job) for d in self.state.outputs_of(job)), default=UNBOUNDED)
        stop = self.desk.plan.campaign.stop
        if job.plan.shape is Shape.SOURCE and stop and stop.max_candidates is not None:
            room = min(room, stop.max_candidates - self.state.births() - int(job.reserved()))
        return int(room / max(job.pace.fan_out, 0.01))

    def _edge_room(self, downstream: JobState, job: JobState) -> int:
        """Candidates that `downstream` can still take in; a waiting gather takes any number."""
        if downstream.closed is not None:
            return UNBOUNDED
        select = downstream.plan.spec.select
        if select is not None and select.streams:
            further = self.state.outputs_of(downstream)
            return min((self._edge_room(d, job) for d in further), default=UNBOUNDED)
        if downstream.plan.shape is Shape.GATHER:
            return UNBOUNDED
        backlog, reserved = downstream.backlog(), job.reserved()
        if backlog == 0 and reserved == 0:
            return max(1, downstream.plan.spec.buffer)
        return downstream.plan.spec.buffer - backlog - int(reserved)
