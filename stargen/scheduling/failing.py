"""Failing: what is done when an attempt fails, and whom it speaks against."""

from __future__ import annotations

from stargen.messages import AttemptRef, TaskFault
from stargen.model import Failure, Shape
from stargen.records import POLICY, Alerted, CandidateQuarantined, JobHeld, NodeState, TaskFailed
from stargen.scheduling import policy
from stargen.scheduling.desk import Desk
from stargen.scheduling.events import AcknowledgeResults, FailuresArrived
from stargen.scheduling.jobs import JobState, Task
from stargen.scheduling.nodelist import SUSPENDED


class Failing:
    """Carries out the failure policy."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.state = desk.state

    def on_failures(self, event: FailuresArrived) -> None:
        acks: list[AttemptRef] = []
        for fault in event.rows:
            acks.append(AttemptRef(fault.job, fault.ordinal, fault.epoch, fault.n))
            job = self.state.jobs[fault.job]
            task = job.tasks.get(fault.ordinal)
            if task is None or (task.epoch, task.n) != (fault.epoch, fault.n):
                continue
            if task.state == "assigned":
                self.fail(job, task, fault, event.node)
                self.blame_node(job, event.node)
        self.desk.command(AcknowledgeResults(event.node, acks))

    def fail(self, job: JobState, task: Task, fault: TaskFault, node: str) -> None:
        failure = Failure(fault.failure)
        decision = policy.decide(task, failure, job.plan.spec.retries, job.plan.shape)
        self.desk.commit(
            TaskFailed(
                self.desk.at,
                job.index,
                task.ordinal,
                fault.epoch,
                fault.n,
                node,
                fault.failure,
                fault.signature,
                fault.message,
                decision.verdict,
                decision.middle,
                decision.memory_factor,
                fault.detail,
            )
        )
        self.desk.wake(job)
        self.desk.health[job.index].attempted(failure, decision.verdict)
        if decision.verdict == "quarantine":
            self.quarantine(job, task, fault.message)
        elif decision.verdict == "stop" and job.held is None:
            self.desk.commit(JobHeld(self.desk.at, job.index, fault.message, POLICY))
        self._hold_if_failing(job, fault.message)

    def quarantine(self, job: JobState, task: Task, reason: str) -> None:
        where = task.pinned
        if where is None and job.plan.shape is not Shape.SOURCE:
            where = job.lanes[task.lane].locations(task.lo, task.hi)[0]
        location = [] if where is None or where.size == 0 else list(where)
        self.desk.commit(
            CandidateQuarantined(
                self.desk.at, job.index, task.lane, task.lo, task.ordinal, location, reason
            )
        )
        self.desk.health[job.index].ended(True)
        self._hold_if_failing(job, reason)

    def _hold_if_failing(self, job: JobState, reason: str) -> None:
        if self.desk.health[job.index].failing and job.held is None:
            text = f"attempt after attempt fails, last: {reason}"
            self.desk.commit(JobHeld(self.desk.at, job.index, text, POLICY))
            self.desk.commit(Alerted(self.desk.at, f"job {job.plan.name} is held: {text}"))

    def blame_node(self, job: JobState, name: str) -> None:
        """Set a node aside that fails, again and again, what others finish."""
        node = self.state.nodes[name]
        node.failures_in_row += 1
        others = any(other.takes_work and other is not node for other in self.state.nodes)
        if node.failures_in_row >= policy.NODE_FAILURES and others and job.finished:
            reason = f"{node.failures_in_row} failures in a row while others succeed"
            self.desk.commit(NodeState(self.desk.at, name, SUSPENDED, reason))
            self.desk.commit(Alerted(self.desk.at, f"node {name} is set aside: {reason}"))
            self.desk.return_tasks(list(node.distributor.attempts), "its node was set aside")
