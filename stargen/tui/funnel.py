"""What the overview computes: progress, the funnel and its bottleneck."""

from __future__ import annotations

from typing import NamedTuple

from stargen.status import JobStatus, Status


class Stage(NamedTuple):
    """One job as a stage of the campaign.

    `share` is how much of what it knows of it has taken (None: it cannot be known); `width` its
    output relative to the widest stage; `clears_s` how long its queue takes at its present rate.
    """

    job: JobStatus
    waiting: int
    share: float | None
    width: float
    rate: float
    clears_s: float | None
    bottleneck: bool


def stages(status: Status, now: float) -> list[Stage]:
    """Every job, in the campaign's order; at most one open job is the bottleneck."""
    widest = max((job.out for job in status.jobs), default=0) or 1
    made = [_stage(status, job, now, widest) for job in status.jobs]
    slowest = max((s for s in made if s.clears_s is not None), key=_clears_s, default=None)
    if slowest is None or status.state != "running":
        return made
    return [stage._replace(bottleneck=stage is slowest) for stage in made]


def _clears_s(stage: Stage) -> float:
    return stage.clears_s or 0.0


def _stage(status: Status, job: JobStatus, now: float, widest: int) -> Stage:
    waiting = status.waiting(job) if job.shape != "source" else 0
    rate = job.meter.now(now) if job.closed is None else 0.0
    pace = rate or job.meter.mean()
    open_ = job.closed is None and waiting > 0
    clears_s = (waiting / pace if pace > 0 else float(waiting)) if open_ else None
    return Stage(
        job, waiting, _share(status, job, waiting), job.out / widest, rate, clears_s, False
    )


def _share(status: Status, job: JobStatus, waiting: int) -> float | None:
    if job.closed is not None:
        return 1.0
    if job.shape == "source":
        return None if not job.total else min(1.0, job.taken / job.total)
    if any(status.jobs[i].closed is None for i in job.inputs):
        return _share_of_growing(status, job)
    return job.taken / (job.taken + waiting) if job.taken + waiting else None


def _share_of_growing(status: Status, job: JobStatus) -> float | None:
    """Of what its inputs will have put out, if the share of each of those is known."""
    expected = 0.0
    for index in job.inputs:
        upstream = status.jobs[index]
        share = _share(status, upstream, status.waiting(upstream))
        if not share:
            return None
        expected += upstream.out / share
    return min(1.0, job.taken / expected) if expected else None
