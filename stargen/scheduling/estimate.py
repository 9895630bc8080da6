"""How much a campaign may come to, as far as its file tells before anything has run."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from stargen.model import Shape
from stargen.scheduling.plan import JobPlan, Plan


class Estimate(NamedTuple):
    """One job: at most so many candidates, in so many tasks; None if nobody can know.

    Children of a fan-out are not foreseen; of a job that finds its own batch size, `tasks` is None.
    """

    job: JobPlan
    candidates: int | None
    tasks: int | None


def estimate(plan: Plan) -> list[Estimate]:
    """What each job may come to, in order of the plan."""
    out: list[int | None] = []
    estimates: list[Estimate] = []
    for job in plan.jobs:
        coming = _coming(plan, job, out)
        estimates.append(Estimate(job, coming, _tasks(job, coming)))
        select = job.spec.select
        bounded = select is not None and not select.rolling and select.per is None
        most = select.limit or select.sample if select and bounded else None
        made = None if coming is None else coming * _fan_out(job)
        out.append(made if most is None else min(most, most if made is None else made))
    return estimates


def _fan_out(job: JobPlan) -> int:
    """How many candidates come out of one, at most."""
    steps = zip(job.infos, job.params, strict=True)
    return prod(info.fan_out(params) for info, params in steps if info.fan_out is not None)


def _coming(plan: Plan, job: JobPlan, out: list[int | None]) -> int | None:
    if job.shape is Shape.SOURCE:
        stop = plan.campaign.stop
        bounds = [job.total, stop.max_candidates if stop else None]
        return min((bound for bound in bounds if bound is not None), default=None)
    known = [n for i in job.inputs if (n := out[i]) is not None]
    return sum(known) if len(known) == len(job.inputs) else None


def _tasks(job: JobPlan, candidates: int | None) -> int | None:
    if job.is_select or candidates == 0:
        return 0
    if job.shape is Shape.GATHER:
        return 1
    if candidates is None or job.grain is None:
        return None
    return -(-candidates // job.grain)
