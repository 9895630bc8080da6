"""The scheduler's memory: what all records so far amount to.

`apply` is the only way it changes, both when the scheduler decides and when a journal is replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stargen.codec import pack, unpack
from stargen.errors import JournalVersion
from stargen.model import Location, Resources, Shape
from stargen.records import (
    AllocationPlanned,
    AllocationStands,
    CampaignEnded,
    CandidateQuarantined,
    EpochStarted,
    JobClosed,
    JobHeld,
    JobReleased,
    LaneOpened,
    LateResults,
    NodeJoined,
    NodeLost,
    NodeState,
    QuarantineReopened,
    Record,
    Routed,
    Selected,
    SourceEnded,
    SourceSteered,
    TaskFailed,
    TasksAssigned,
    TasksFinished,
    TasksReturned,
)
from stargen.scheduling.allocations import Allocations
from stargen.scheduling.jobs import JobState, Quarantine, Task
from stargen.scheduling.lifecycle import follow
from stargen.scheduling.nodelist import LOST, Nodelist, resources_from
from stargen.scheduling.plan import Plan
from stargen.scheduling.streams import KeyedLane, Lane, Stream

SNAPSHOT_VERSION = 1


class CampaignState:
    """Jobs, nodes and the campaign's own standing."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.jobs: list[JobState] = []
        for job in plan.jobs:
            self.jobs.append(JobState(job, [self.jobs[i].out for i in job.inputs]))
        self.nodes = Nodelist()
        self.allocations = Allocations()
        self.epoch = 0
        self.last_n = 0
        self.late = 0
        self.ended: CampaignEnded | None = None
        self.held: set[int] = set()
        """Jobs that are held."""
        self.gangs: dict[tuple[int, int], list[str]] = {}
        """{(job, ordinal): all nodes that this task has for itself, the leader first}."""
        self.freed: list[str] = []
        """Nodes on which something was freed since the placing pass last forgot them."""
        self._appliers: dict[type[Any], Callable[[Any], None]] = {
            EpochStarted: self._epoch_started,
            NodeJoined: self._node_joined,
            NodeLost: self._node_lost,
            NodeState: self._node_state,
            TasksAssigned: self._tasks_assigned,
            TasksFinished: self._tasks_finished,
            TasksReturned: self._tasks_returned,
            TaskFailed: self._task_failed,
            CandidateQuarantined: self._candidate_quarantined,
            Routed: self._routed,
            Selected: self._selected,
            LaneOpened: self._lane_opened,
            JobHeld: self._job_held,
            JobReleased: self._job_released,
            JobClosed: self._job_closed,
            SourceEnded: self._source_ended,
            SourceSteered: self._source_steered,
            QuarantineReopened: self._quarantine_reopened,
            LateResults: self._late_results,
            CampaignEnded: self._campaign_ended,
            AllocationPlanned: lambda r: self.allocations.plan(r),
            AllocationStands: lambda r: self.allocations.stand(r),
        }

    def apply(self, record: Record) -> None:
        """Take one fact in; facts for people only (alerts, the plan's text) change nothing."""
        applier = self._appliers.get(type(record))
        if applier is not None:
            applier(record)

    def inputs_of(self, job: JobState) -> list[JobState]:
        return [self.jobs[i] for i in job.plan.inputs]

    def outputs_of(self, job: JobState) -> list[JobState]:
        return [self.jobs[i] for i in job.plan.outputs]

    def births(self) -> int:
        """Candidates that the sources made."""
        return sum(job.out.length for job in self.jobs if job.plan.shape is Shape.SOURCE)

    # --- epochs and nodes ---------------------------------------------------------------------

    def _epoch_started(self, record: EpochStarted) -> None:
        self.epoch, self.last_n, self.ended = record.epoch, 0, None
        for node in self.nodes:
            self.nodes.link(node.name, up=False, at=record.at)

    def _node_joined(self, r: NodeJoined) -> None:
        resources = resources_from(r.resources)
        self.nodes.join(r.node, r.pool, r.agent_id, r.incarnation, resources, r.at)
        self.allocations.join(r.node, r.at)
        self.freed.append(r.node)

    def _node_lost(self, record: NodeLost) -> None:
        node = self.nodes[record.node]
        for job_index, ordinal in list(node.distributor.attempts):
            job = self.jobs[job_index]
            task = job.tasks[ordinal]
            task.count_try("infrastructure")
            self._to_queue(job, task, "returned")
        if node.gang is not None:  # of another leader
            job = self.jobs[node.gang[0]]
            task = job.tasks[node.gang[1]]
            task.count_try("infrastructure")
            self._to_queue(job, task, "returned")
        self.nodes.leave(record.node, LOST, record.reason, record.at)

    def _node_state(self, record: NodeState) -> None:
        if record.state == "left":
            self.nodes.leave(record.node, record.state, record.reason, record.at)
        else:
            self.nodes.set_state(record.node, record.state, record.reason)
            self.freed.append(record.node)

    # --- tasks ----------------------------------------------------------------------------------

    def _tasks_assigned(self, record: TasksAssigned) -> None:
        job, node = self.jobs[record.job], self.nodes[record.node]
        taken: dict[Resources, list[int]] = {}
        request, ordinals = None, list[int]()
        name, at, tasks = record.node, record.at, job.tasks
        for ordinal, n, lane, lo, hi, epoch, variant in record.rows:
            task = tasks.get(ordinal)
            if task is None:
                task = self._new_task(job, ordinal, lane, lo, hi)
            task.state = follow(task.state, "assigned")
            task.node, task.epoch, task.n, task.assigned_at = name, epoch, n, at
            task.request = self.request_of(job, task, variant)
            if task.request is not request:  # hashing once per run of like tasks, not per task
                request = task.request
                ordinals = taken.setdefault(request, [])
            ordinals.append(ordinal)
            if epoch == self.epoch and n > self.last_n:
                self.last_n = n
        for request, ordinals in taken.items():
            node.distributor.take(record.job, ordinals, request)
        if record.members:
            self._bind(record.job, record.rows[0].ordinal, [record.node, *record.members])
        if job.plan.affinity is not None:
            node.loaded.add(job.plan.affinity)

    def _bind(self, job: int, ordinal: int, names: list[str]) -> None:
        """These nodes work on nothing else."""
        self.gangs[job, ordinal] = names
        for name in names:
            self.nodes[name].gang = (job, ordinal)

    def _unbind(self, job: int, ordinal: int) -> None:
        """The task has no nodes for itself, or no longer."""
        for name in self.gangs.pop((job, ordinal), ()):
            self.nodes[name].gang = None
            self.freed.append(name)

    def request_of(self, job: JobState, task: Task, variant: int) -> Resources:
        """What the task asks for by that variant of its lane's request."""
        resources = job.request_for(task.lane)[variant]
        if task.memory_factor == 1.0:
            return resources
        return replace(resources, memory_gib=resources.memory_gib * task.memory_factor)

    def _new_task(self, job: JobState, ordinal: int, lane: int, lo: int, hi: int) -> Task:
        task = job.tasks[ordinal] = Task(ordinal, lane, lo, hi)
        if ordinal >= job.next_ordinal:
            job.next_ordinal = ordinal + 1
        cut = job.lanes[lane]
        if hi > cut.cursor:
            cut.cursor = hi
        return task

    def _tasks_finished(self, record: TasksFinished) -> None:
        job = self.jobs[record.job]
        released: dict[tuple[str, Resources], list[int]] = {}
        node, request, ordinals = "", None, list[int]()
        tasks, lanes, out = job.tasks, job.lanes, job.out
        learn = job.pace.learn
        for row in record.rows:
            ordinal, _, _, duration_us, segment, offset, sizes, _, dropped, end, keys, _ = row
            task = tasks.pop(ordinal)
            if task.state == "assigned" and task.request is not None:
                if task.request is not request or task.node != node:
                    node, request = task.node, task.request
                    ordinals = released.setdefault((node, request), [])
                ordinals.append(ordinal)
            follow(task.state, "finished")
            lo, hi = task.lo, task.hi
            if task.pinned is None:
                lanes[task.lane].done.add(lo, hi)
            position = out.length if keys else 0
            out.extend(segment, offset, sizes)
            for key in keys:
                job.keep(key, position)
                position += 1
            if dropped:
                for reason, n in dropped.items():
                    job.dropped[reason] = job.dropped.get(reason, 0) + n
            if end is not None:
                self._end_source(job, end)
            learn(duration_us * 1e-6, hi - lo, len(sizes))
        job.finished += len(record.rows)
        for (node, request), ordinals in released.items():
            if self.gangs:
                for ordinal in ordinals:
                    self._unbind(record.job, ordinal)
            self.nodes[node].distributor.release(record.job, ordinals, request)
            self.freed.append(node)

    def _tasks_returned(self, record: TasksReturned) -> None:
        job = self.jobs[record.job]
        for row in record.rows:
            self._to_queue(job, job.tasks[row.ordinal], "returned")

    def _to_queue(self, job: JobState, task: Task, how: Any) -> None:
        self._release(job, task)
        task.state = follow(task.state, how)
        task.node, task.request = "", None
        job.retry.append(task.ordinal)

    def _release(self, job: JobState, task: Task) -> None:
        if task.state == "assigned" and task.request is not None:
            self._unbind(job.index, task.ordinal)
            distributor = self.nodes[task.node].distributor
            distributor.release(job.index, [task.ordinal], task.request)
            self.freed.append(task.node)

    def _task_failed(self, record: TaskFailed) -> None:
        job = self.jobs[record.job]
        task = job.tasks[record.ordinal]
        job.failures += 1
        if record.verdict == "split":
            self._release(job, task)
            follow(task.state, "split")
            del job.tasks[task.ordinal]
            for lo, hi in ((task.lo, record.middle), (record.middle, task.hi)):
                half = self._new_task(job, job.next_ordinal, task.lane, lo, hi)
                half.memory_factor, half.failed_on = task.memory_factor, record.node
                job.retry.append(half.ordinal)
            return
        task.count_try(record.failure)
        task.memory_factor *= record.memory_factor
        task.failed_on = record.node
        if task.state == "assigned":
            self._to_queue(job, task, "retried")
            task.epoch = task.n = 0  # judged: it is not judged again if told twice

    def _candidate_quarantined(self, record: CandidateQuarantined) -> None:
        job = self.jobs[record.job]
        task = job.tasks.pop(record.ordinal)
        self._release(job, task)
        follow(task.state, "quarantined")
        if task.pinned is None:
            job.lanes[task.lane].done.add(task.lo, task.hi)
        where = Location(*record.location) if record.location else None
        job.quarantined.append(Quarantine(record.lane, record.position, where, record.reason))

    def _quarantine_reopened(self, record: QuarantineReopened) -> None:
        job = self.jobs[record.job]
        for each in job.quarantined:
            task = Task(job.next_ordinal, each.lane, each.position, each.position + 1)
            task.pinned = each.location or Location(0, 0, 0)
            job.tasks[task.ordinal] = task
            job.next_ordinal += 1
            job.retry.append(task.ordinal)
        if job.quarantined:
            self._reopen(job)
        job.quarantined.clear()

    def _reopen(self, job: JobState) -> None:
        """The job and what streams from it are open again; what was gathered stays final."""
        job.closed, self.ended = None, None
        for downstream in self.outputs_of(job):
            if downstream.closed is not None and not downstream.plan.waits:
                self._reopen(downstream)

    def _late_results(self, record: LateResults) -> None:
        self.late += record.count

    # --- streams --------------------------------------------------------------------------------

    def _routed(self, r: Routed) -> None:
        job = self.jobs[r.job]
        upstream = job.upstream[r.input]
        job.arrived[r.input] = r.lo + len(r.lanes)
        job.seen.update(r.ids)
        for i, lane_index in enumerate(r.lanes):
            position = r.lo + i
            if r.ranks and job.ranking is not None:
                group = r.keys[i] if r.keys else 0
                where = upstream.location(position)
                job.ranking.offer(r.ranks[i], group, r.input, position, where)
            if lane_index < 0:
                continue
            if job.plan.is_select:
                job.out.append(upstream.location(position))
                continue
            lane = job.lanes[lane_index]
            if isinstance(lane, KeyedLane):
                lane.append(upstream.location(position), r.keys[i])
            else:
                lane.stream.append(upstream.location(position))

    def _selected(self, record: Selected) -> None:
        job = self.jobs[record.job]
        assert job.ranking is not None
        for row in record.rows:
            job.out.append(job.ranking.location(row.input, row.position))
        job.ranking.clear()

    def _lane_opened(self, record: LaneOpened) -> None:
        job = self.jobs[record.job]
        request = tuple(resources_from(form) for form in record.variants)
        job.requests.append(request)
        job.lanes.append(Lane(Stream()))

    # --- jobs and the campaign ------------------------------------------------------------------

    def _job_held(self, record: JobHeld) -> None:
        job = self.jobs[record.job]
        job.held, job.held_by = record.reason, record.by
        self.held.add(record.job)

    def _job_released(self, record: JobReleased) -> None:
        self.jobs[record.job].held, self.ended = None, None
        self.held.discard(record.job)

    def _job_closed(self, record: JobClosed) -> None:
        job = self.jobs[record.job]
        job.closed, job.held = record.how, None
        self.held.discard(record.job)
        for task in job.tasks.values():
            self._release(job, task)
            follow(task.state, "cancelled")
        job.tasks.clear()
        job.retry.clear()

    def _source_steered(self, record: SourceSteered) -> None:
        self.jobs[record.job].steered.append((record.ordinal, record.params))

    def _source_ended(self, record: SourceEnded) -> None:
        self._end_source(self.jobs[record.job], record.ordinal)

    def _end_source(self, job: JobState, ordinal: int) -> None:
        lane = job.source_lane
        lane.end = max(min(lane.end, ordinal), lane.cursor)

    def _campaign_ended(self, record: CampaignEnded) -> None:
        self.ended = record

    def find_gangs(self) -> None:
        """Which tasks have whole nodes, from what the nodes know."""
        for node in self.nodes:
            if node.gang is not None:
                names = self.gangs.setdefault(node.gang, [])
                leads = node.gang in node.distributor.attempts
                names.insert(0 if leads else len(names), node.name)

    # --- keeping it small and saved --------------------------------------------------------------

    def forget_consumed(self) -> None:
        """Drop the locations that no job will ask for again."""
        for job in self.jobs:
            if job.routes and not job.plan.is_select:
                for lane in job.lanes:
                    lane.forget_done()
            readers = self.outputs_of(job)
            needs = [
                reader.needed_from(index)
                for reader in readers
                for index, upstream in enumerate(reader.upstream)
                if upstream is job.out
            ]
            job.out.forget_below(min(needs, default=job.out.length))

    def snapshot(self) -> bytes:
        """All of it as bytes."""
        return pack(
            [
                SNAPSHOT_VERSION,
                self.epoch,
                self.last_n,
                self.late,
                self.nodes.state(),
                [job.state() for job in self.jobs],
                self.ended and [self.ended.at, self.ended.state, self.ended.reason],
                self.allocations.form(),
            ]
        )

    @classmethod
    def from_snapshot(cls, plan: Plan, data: bytes) -> CampaignState:
        """The inverse of `snapshot`, under the same plan or one with jobs added at the end."""
        version, epoch, last_n, late, nodes, jobs, ended, *allocations = unpack(data)
        if version != SNAPSHOT_VERSION:
            raise JournalVersion(f"the snapshot has version {version}, not {SNAPSHOT_VERSION}")
        made = cls(plan)
        made.epoch, made.last_n, made.late = epoch, last_n, late
        made.nodes = Nodelist.from_state(nodes)
        if allocations:
            made.allocations = Allocations.from_form(allocations[0])
        for job, state in zip(made.jobs, jobs, strict=False):
            job.load(state)
            if job.held is not None:
                made.held.add(job.index)
        made.ended = CampaignEnded(*ended) if ended else None
        for job in made.jobs:
            for task in job.tasks.values():
                if task.state == "assigned" and task.request is not None:
                    distributor = made.nodes[task.node].distributor
                    distributor.take(job.index, [task.ordinal], task.request)
        made.find_gangs()
        return made
