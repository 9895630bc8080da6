"""Scheduler: one event in, records and commands out.

Theory of operation. `handle` decides: it commits records, which change the state at once, and
collects the commands that follow from them. The kernel puts the records on disk before it performs
the commands. One placing pass runs per call, however many events the call brought, and looks only
at jobs that have, or may have, something to send.

The parts sit at one desk: Standing (nodes), Intake (results, routes), Failing (the failure
policy), Placer (who gets what), Ending (complete, enough, over), Asking (people).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stargen.records import POLICY, EpochStarted, JobReleased, Record
from stargen.scheduling.allocating import Allocating
from stargen.scheduling.allocations import BatchPool
from stargen.scheduling.asking import Asking
from stargen.scheduling.desk import Desk
from stargen.scheduling.ending import Ending
from stargen.scheduling.events import (
    AllocationSeen,
    Asked,
    DiskStateChanged,
    EnvelopesRead,
    Event,
    FailuresArrived,
    NodeAttached,
    NodeDetached,
    NodeLeaving,
    NodeRemoved,
    ResultsArrived,
    Step,
    TasksGivenBack,
    Ticked,
)
from stargen.scheduling.failing import Failing
from stargen.scheduling.intake import Intake
from stargen.scheduling.jobs import JobState
from stargen.scheduling.placing import Placer
from stargen.scheduling.plan import Plan
from stargen.scheduling.standing import Patience, Standing
from stargen.scheduling.state import CampaignState
from stargen.scheduling.steering import Steering


class Scheduler:
    """HydraHT's scheduling module."""

    def __init__(
        self,
        plan: Plan,
        state: CampaignState | None = None,
        *,
        patience: Patience | None = None,
        pools: Sequence[BatchPool] = (),
    ) -> None:
        self.plan = plan
        self.state = CampaignState(plan) if state is None else state
        desk = self._desk = Desk(plan, self.state)
        self._placer = Placer(desk)
        self._ending = Ending(desk, self._placer)
        self._intake = Intake(desk, self._ending)
        failing = Failing(desk)
        self._standing = Standing(desk, failing, patience or Patience())
        self._steering = Steering(desk)
        asking = Asking(desk, failing)
        self._order = {job.index: (-job.spec.priority, -job.index) for job in plan.jobs}
        self.allocating = Allocating(
            desk, self._placer, self._standing, lambda job: self._order[job.index], pools
        )
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            NodeAttached: self._standing.on_attached,
            NodeLeaving: self._standing.on_leaving,
            NodeDetached: self._standing.on_detached,
            NodeRemoved: self._standing.on_removed,
            TasksGivenBack: self._standing.on_given_back,
            ResultsArrived: self._intake.on_results,
            EnvelopesRead: self._intake.on_envelopes,
            FailuresArrived: failing.on_failures,
            DiskStateChanged: asking.on_disk,
            AllocationSeen: self.allocating.on_seen,
            Asked: asking.on_asked,
            Ticked: self._on_tick,
        }

    def start(self, at: float, host: str, pid: int, version: str) -> Step:
        """A new master's first step: its epoch, and what the journal left undone.

        If the campaign had come to rest because the policy held jobs, starting it again lets them
        go on; what a person held stays held.
        """
        desk = self._desk
        desk.begin(at)
        if self.state.ended is not None and self.state.ended.state == "held":
            for job in self.state.jobs:
                if job.held is not None and job.held_by == POLICY:
                    desk.commit(JobReleased(at, job.index, "up"))
        desk.commit(EpochStarted(at, self.state.epoch + 1, host, pid, version))
        for job in self.state.jobs:
            desk.wake(job)
            for index, upstream in enumerate(job.upstream):
                if job.routes and job.arrived[index] < upstream.length:
                    desk.unrouted.setdefault((job.index, index), False)
        return self._finish()

    def handle(self, *events: Event) -> Step:
        """Take what happened, in order; one placing pass at the end."""
        self._desk.begin(events[-1].at)
        for event in events:
            self._desk.at = event.at
            self._handlers[type(event)](event)
        return self._finish()

    def apply(self, record: Record) -> None:
        """Replay: take a fact from the journal in."""
        self.state.apply(record)

    def snapshot(self) -> bytes:
        """The state as bytes, without what nobody will ask for again."""
        self.state.forget_consumed()
        return self.state.snapshot()

    @classmethod
    def restore(
        cls,
        plan: Plan,
        snapshot: bytes,
        *,
        patience: Patience | None = None,
        pools: Sequence[BatchPool] = (),
    ) -> Scheduler:
        """A scheduler with the state of `snapshot`; the journal's tail is applied to it next."""
        state = CampaignState.from_snapshot(plan, snapshot)
        return cls(plan, state, patience=patience, pools=pools)

    def is_rid_of(self, node: str) -> bool:
        """True once a node gets no more work and all that it had has ended or was given back."""
        found = self.state.nodes.get(node)
        return found is None or (
            not found.takes_work and found.distributor.idle and found.gang is None
        )

    def wants(self, job: int, ordinal: int) -> bool:
        """True if a result of that task would still be taken; else its payload need not be kept."""
        return ordinal in self.state.jobs[job].tasks

    def allowance(self, job: JobState) -> int:
        """How many candidates `job` may take in now without overfilling what lies downstream."""
        return self._placer.allowance(job)

    def _on_tick(self, event: Ticked) -> None:
        self._standing.on_tick(event.at)
        self.allocating.on_tick(event.at)
        self._ending.check_ceilings()
        self._steering.look()
        self._desk.openings.look_again()
        for node in self.state.nodes:
            node.saved_for = ""
        self._desk.wake_all()
        self.state.forget_consumed()

    def _finish(self) -> Step:
        desk = self._desk
        self._ending.close_what_is_done()
        if not (desk.disk_full or desk.stopping or self.state.ended):
            for index in sorted(desk.active, key=self._order.__getitem__):
                self._placer.place(self.state.jobs[index])
        self._intake.ask_for_envelopes()
        self._ending.end_if_over()
        return Step(desk.records, desk.commands)
