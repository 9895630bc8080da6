"""A campaign made ready to run: jobs in breadth-first order with what their calculators declare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stargen.calculators.contract import CalculatorInfo, SourceStats
from stargen.crystal import Envelope
from stargen.model import Campaign, JobSpec, Request, Shape


@dataclass(frozen=True, slots=True)
class JobPlan:
    """One job, resolved. `index` is its number in every message and record.

    A select job has no steps; its `shape` is GATHER and `predicate`, `rank` say what passes:
    `rank(envelope)` is the number to sort by, smallest first, `group(envelope)` what it is ranked
    among (None: never passes).
    """

    index: int
    spec: JobSpec
    shape: Shape
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    infos: tuple[CalculatorInfo, ...] = ()
    params: tuple[Any, ...] = ()
    request: Request = ()
    request_of: Callable[[Envelope], Request] | None = None
    key_of: Callable[[Envelope], str] | None = None
    predicate: Callable[[Envelope], bool] | None = None
    rank: Callable[[Envelope], float | None] | None = None
    group: Callable[[Envelope], str | None] | None = None
    affinity: str | None = None
    grain: int | None = None
    total: int | None = None
    steer: Callable[[SourceStats], Mapping[str, Any] | None] | None = None

    @property
    def is_select(self) -> bool:
        return self.spec.select is not None

    @property
    def waits(self) -> bool:
        """It speaks once all its input has come, and what it said then is final."""
        select = self.spec.select
        return self.shape is Shape.GATHER and not (select is not None and select.streams)

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True, slots=True)
class Plan:
    """All jobs; an upstream job always has a smaller index than a downstream one."""

    campaign: Campaign
    jobs: tuple[JobPlan, ...]
    digest: str
    text: str

    def job(self, name: str) -> JobPlan:
        """The job of that name; KeyError if there is none."""
        for job in self.jobs:
            if job.name == name:
                return job
        raise KeyError(name)
