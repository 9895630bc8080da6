"""Ending: when a job is complete, when there is enough, and when the campaign is over."""

from __future__ import annotations

from typing import Literal

from stargen.model import Shape
from stargen.records import POLICY, CampaignEnded, JobClosed, PassedRow, Selected, SourceEnded
from stargen.scheduling import aggregator
from stargen.scheduling.desk import Desk
from stargen.scheduling.events import EndCampaign
from stargen.scheduling.jobs import JobState
from stargen.scheduling.placing import Placer


class Ending:
    """Closes jobs and ends campaigns."""

    def __init__(self, desk: Desk, placer: Placer) -> None:
        self.desk = desk
        self.placer = placer
        self.state = desk.state

    def close_what_is_done(self) -> None:
        """And what that completes downstream, which comes later in the order of jobs."""
        while self.desk.closable:
            indices = sorted(self.desk.closable)
            self.desk.closable.clear()
            for index in indices:
                job = self.state.jobs[index]
                upstream = self.state.inputs_of(job)
                if job.closed is None and aggregator.is_complete(job, upstream):
                    self._close(job)

    def _close(self, job: JobState) -> None:
        index, before = job.index, job.out.length
        if job.ranking is not None and len(job.ranking) and not self._rolls(job):
            rows = [PassedRow(i, p) for i, p in job.ranking.winners()]
            self.desk.commit(Selected(self.desk.at, index, rows))
        self.desk.commit(JobClosed(self.desk.at, index, "done"))
        for downstream in self.state.outputs_of(job):
            self.desk.wake(downstream)
            input_ = downstream.plan.inputs.index(index)
            if downstream.routes and job.out.length > max(before, downstream.arrived[input_]):
                self.desk.unrouted.setdefault((downstream.index, input_), False)

    def _rolls(self, job: JobState) -> bool:
        select = job.plan.spec.select
        return select is not None and select.rolling

    def check_stop(self, job: JobState) -> None:
        stop = self.desk.plan.campaign.stop
        if stop and stop.job == job.plan.name and job.out.length >= stop.kept:
            self._end_sources(f"{job.plan.name} kept {job.out.length}, enough")
        self.check_ceilings()

    def check_ceilings(self) -> None:
        stop = self.desk.plan.campaign.stop
        if stop is None:
            return
        if stop.max_candidates is not None and self.state.births() >= stop.max_candidates:
            self._end_sources(f"the ceiling of {stop.max_candidates} candidates is reached")
        hours = self.state.nodes.hours(self.desk.at)
        if stop.max_node_hours is not None and hours >= stop.max_node_hours:
            self._end_sources(f"the ceiling of {stop.max_node_hours:g} node-hours is reached")

    def _end_sources(self, reason: str) -> None:
        for job in self.state.jobs:
            if job.plan.shape is Shape.SOURCE and job.closed is None:
                lane = job.source_lane
                if lane.end > lane.cursor:
                    self.desk.commit(SourceEnded(self.desk.at, job.index, lane.cursor, reason))
                    self.desk.wake(job)

    def end_if_over(self) -> None:
        if self.state.ended is not None:
            return
        if all(job.closed is not None for job in reversed(self.state.jobs)):  # the last ends last
            self._end(*self._verdict())
            return
        if self.desk.stopping is not None:
            if not self._running():
                self.desk.command(EndCampaign("stopped", self.desk.stopping))
            return
        held = [self.state.jobs[index] for index in sorted(self.state.held)]
        if not any(job.held_by == POLICY for job in held):
            return  # nothing is held, or by people only, who may release it any time
        if self._running() or self.desk.unrouted:
            return
        if not self._others_can_go_on():
            names = ", ".join(f"{job.plan.name} ({job.held})" for job in held)
            self._end("held", f"held: {names}")

    def _running(self) -> bool:
        return any(not node.distributor.idle for node in self.state.nodes)

    def _others_can_go_on(self) -> bool:
        return any(
            job.held is None
            and job.closed is None
            and not job.plan.is_select
            and (
                job.retry
                or (
                    self.placer.has_fresh(job)
                    and (job.plan.shape is not Shape.GATHER or self.placer.gather_ready(job))
                    and self.placer.allowance(job) > 0
                )
            )
            for job in self.state.jobs
        )

    def _verdict(self) -> tuple[Literal["done", "held", "cancelled"], str]:
        """How a campaign whose jobs are all closed has ended."""
        stop = self.desk.plan.campaign.stop
        if any(job.closed == "cancelled" for job in self.state.jobs):
            return "cancelled", "a job was cancelled"
        if stop is not None:
            target = self.state.jobs[self.desk.plan.job(stop.job).index]
            if target.out.length < stop.kept:
                births = self.state.births()
                share = target.out.length / births if births else 0.0
                return "held", (
                    f"target unreachable: {stop.job} kept {target.out.length} of {stop.kept} "
                    f"from {births} candidates (yield {100 * share:.1f} %)"
                )
        return "done", "every job is done"

    def _end(self, state: Literal["done", "held", "cancelled"], reason: str) -> None:
        self.desk.commit(CampaignEnded(self.desk.at, state, reason))
        self.desk.command(EndCampaign(state, reason))
