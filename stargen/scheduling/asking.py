"""Asking: what people want done: hold, release, retry, cancel, drain, stop."""

from __future__ import annotations

from stargen.records import (
    Alerted,
    JobClosed,
    JobHeld,
    JobReleased,
    NodeState,
    QuarantineReopened,
    TaskFailed,
)
from stargen.scheduling.desk import Desk
from stargen.scheduling.events import Asked, DiskStateChanged, DrainNode, TakeBackTasks
from stargen.scheduling.failing import Failing
from stargen.scheduling.jobs import JobState
from stargen.scheduling.nodelist import DRAINING, READY


class Asking:
    """Carries out requests."""

    def __init__(self, desk: Desk, failing: Failing) -> None:
        self.desk = desk
        self.failing = failing
        self.state = desk.state

    def on_disk(self, event: DiskStateChanged) -> None:
        self.desk.disk_full = event.full
        text = "the journal's disk is full: nothing is sent" if event.full else "the disk has room"
        self.desk.commit(Alerted(event.at, text))
        self.desk.wake_all()

    def on_asked(self, event: Asked) -> None:
        target = event.target
        if event.action == "stop":
            self.desk.stopping = f"stopped by {event.by}"
            self._call_back_unstarted()
        elif event.action in ("drain", "undrain"):
            self._ask_node(event, DRAINING if event.action == "drain" else READY)
        elif event.action == "cancel-task":
            name, _, ordinal = target.rpartition("/")
            job = self.state.jobs[self.desk.plan.job(name).index]
            self.cancel_task(job, int(ordinal), event)
        else:
            names = [target] if target else [job.name for job in self.desk.plan.jobs]
            for name in names:
                self._ask_job(event, self.state.jobs[self.desk.plan.job(name).index])

    def _ask_node(self, event: Asked, state: str) -> None:
        name = event.target
        if name not in self.state.nodes:
            self.desk.commit(Alerted(event.at, f"node {name} has never joined: nothing to drain"))
            return
        self.desk.commit(NodeState(event.at, name, state, f"by {event.by}"))
        if state == DRAINING:
            self.desk.command(DrainNode(name, f"drained by {event.by}"))
        self.desk.wake_all()

    def _ask_job(self, event: Asked, job: JobState) -> None:
        if event.action == "hold" and job.closed is None:
            self.desk.commit(JobHeld(event.at, job.index, f"by {event.by}", event.by))
        elif event.action == "release":
            self.desk.commit(JobReleased(event.at, job.index, event.by))
            self.desk.health[job.index].clear()
        elif event.action == "retry" and job.quarantined:
            self.desk.commit(QuarantineReopened(event.at, job.index, event.by))
            self.desk.health[job.index].clear()
        elif event.action == "cancel" and job.closed is None:
            self.desk.cancel(job, job.tasks.values(), f"cancelled by {event.by}")
            self.desk.commit(JobClosed(event.at, job.index, "cancelled"))
            for downstream in self.state.outputs_of(job):
                self.desk.wake(downstream)
        self.desk.wake(job)

    def cancel_task(self, job: JobState, ordinal: int, event: Asked) -> None:
        task = job.tasks.get(ordinal)
        if task is None:
            return
        self.desk.cancel(job, [task], f"cancelled by {event.by}")
        while task.hi - task.lo > 1:
            self.desk.commit(
                TaskFailed(
                    event.at,
                    job.index,
                    task.ordinal,
                    task.epoch,
                    task.n,
                    task.node,
                    "user",
                    "cancelled",
                    f"by {event.by}",
                    "split",
                    task.lo + 1,
                )
            )
            first = job.tasks[job.next_ordinal - 2]
            self.failing.quarantine(job, first, f"cancelled by {event.by}")
            task = job.tasks[job.next_ordinal - 1]
        self.failing.quarantine(job, task, f"cancelled by {event.by}")
        self.desk.wake(job)

    def _call_back_unstarted(self) -> None:
        for node in self.state.nodes:
            for job in self.state.jobs:
                held = node.distributor.held(job.index)
                if node.attached and held:
                    self.desk.command(TakeBackTasks(node.name, job.index, held))
