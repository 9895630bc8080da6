"""Steering: sources adapt to what became of their candidates.

A source's descriptor may name a pure function `steer(params, stats)`. It is asked about once a
second; every change is a record with the ordinal from which it holds, so that a retry of an
earlier ordinal, and any replay, uses the parameters of its time.
"""

from __future__ import annotations

from stargen.calculators.contract import SourceStats
from stargen.records import SourceSteered
from stargen.scheduling.desk import Desk
from stargen.scheduling.jobs import JobState


class Steering:
    """Asks the sources that adapt."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def look(self) -> None:
        """Let each steered source that still makes candidates say what it wants from here on."""
        for job in self.desk.state.jobs:
            if job.plan.steer is None or job.closed is not None or not job.source_lane.waiting:
                continue
            wanted = job.plan.steer(self._stats(job))
            now = job.steered[-1][1] if job.steered else {}
            if wanted is not None and dict(wanted) != now:
                ordinal = job.source_lane.cursor
                self.desk.commit(SourceSteered(self.desk.at, job.index, ordinal, dict(wanted)))

    def _stats(self, source: JobState) -> SourceStats:
        jobs = self.desk.state.jobs
        return SourceStats(
            made=source.out.length,
            kept={job.plan.name: job.out.length for job in jobs},
            dropped={job.plan.name: dict(job.dropped) for job in jobs},
        )
