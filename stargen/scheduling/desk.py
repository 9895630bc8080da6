"""The desk at which the scheduler's parts work: the state, and what the step at hand adds up to.

Every part reads the state freely and changes it only by `commit`. Moves that several parts make
(returning tasks to the queue, cancelling attempts, waking a job) are here too.
"""

from __future__ import annotations

from collections.abc import Iterable

from stargen.messages import AttemptRef
from stargen.records import Record, ReturnedRow, TasksReturned
from stargen.scheduling.events import CancelAttempts, Command
from stargen.scheduling.jobs import JobState, Task
from stargen.scheduling.openings import Openings
from stargen.scheduling.plan import Plan
from stargen.scheduling.policy import JobHealth
from stargen.scheduling.state import CampaignState


class Desk:
    """State, the step's records and commands, and which jobs need a look."""

    def __init__(self, plan: Plan, state: CampaignState) -> None:
        self.plan = plan
        self.state = state
        self.at = 0.0
        self.records: list[Record] = []
        self.commands: list[Command] = []
        self.active: set[int] = set()
        """Jobs that have, or may have, something to send."""
        self.closable: set[int] = set()
        """Jobs that may have come to their end."""
        self.unrouted: dict[tuple[int, int], bool] = {}
        """(job, input) with entries that wait for a route; True while they are being read."""
        self.health = [JobHealth() for _ in plan.jobs]
        self.openings = Openings(state.nodes, state.freed)
        self.disk_full = False
        self.stopping: str | None = None

    def begin(self, at: float) -> None:
        """A new step."""
        self.at = at
        self.records, self.commands = [], []

    def commit(self, record: Record) -> None:
        """Decide a fact: it goes into the journal, and the state changes now."""
        self.records.append(record)
        self.state.apply(record)

    def command(self, command: Command) -> None:
        self.commands.append(command)

    def wake(self, job: JobState) -> None:
        """The job may have something to send, or may be done."""
        self.closable.add(job.index)
        if not job.plan.is_select and job.closed is None:
            self.active.add(job.index)

    def wake_all(self) -> None:
        for job in self.state.jobs:
            if job.closed is None:
                self.wake(job)

    def return_tasks(self, keys: Iterable[tuple[int, int]], reason: str) -> None:
        """Tasks whose attempts ended without result and without blame go back to the queue."""
        rows: dict[int, list[ReturnedRow]] = {}
        for job_index, ordinal in keys:
            task = self.state.jobs[job_index].tasks[ordinal]
            rows.setdefault(job_index, []).append(ReturnedRow(ordinal, task.epoch, task.n))
        for job_index, returned in rows.items():
            self.commit(TasksReturned(self.at, job_index, reason, returned))
            self.wake(self.state.jobs[job_index])

    def cancel(self, job: JobState, tasks: Iterable[Task], reason: str) -> None:
        """Tell the nodes that have these tasks to stop them."""
        by_node: dict[str, list[AttemptRef]] = {}
        for task in tasks:
            if task.state == "assigned":
                ref = AttemptRef(job.index, task.ordinal, task.epoch, task.n)
                by_node.setdefault(task.node, []).append(ref)
        for node, attempts in by_node.items():
            self.command(CancelAttempts(node, attempts, reason))
