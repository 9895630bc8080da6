"""The campaign's vocabulary as frozen data: resources, jobs, tasks, attempts, outcomes.

A job's input is divided into *lanes*, each a numbered sequence of candidates: one lane per upstream
job for a map, one per partition for a keyed job, one of bare ordinals for a source, one of
everything for a gather. A task is a range of one lane, so finished work is a set of ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple

Scratch = Literal["none", "local", "ram"]
Kind = Literal["cpu", "gpu", "io"]


@dataclass(frozen=True, slots=True, order=True)
class Resources:
    """What one task needs, or what a node has.

    Parameters
    ----------
    cores : whole CPU cores
    gpus : GPUs; fractions share one device
    memory_gib, scratch_gib : GiB; 0 means unstated
    io : slots for tasks that mostly read and write
    nodes : nodes of one allocation, for a gang
    walltime_s : seconds after which the task is stopped; None for no limit
    scratch : where the task's folder lives
    custom : named resources of the site, sorted by name
    """

    cores: int = 1
    gpus: float = 0.0
    memory_gib: float = 0.0
    scratch_gib: float = 0.0
    io: int = 0
    nodes: int = 1
    walltime_s: float | None = None
    scratch: Scratch = "none"
    custom: tuple[tuple[str, float], ...] = ()

    @property
    def kind(self) -> Kind:
        """Which of the three task buffers it waits in (paper, algorithm 2)."""
        if self.gpus > 0:
            return "gpu"
        return "io" if self.io > 0 else "cpu"


Request = tuple[Resources, ...]
"""Variants in order of preference; a task takes the first that a node can give."""


class Shape(StrEnum):
    """The four forms a job can have (DESIGN 2)."""

    SOURCE = "source"
    MAP = "map"
    KEYED = "keyed"
    GATHER = "gather"


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One calculator of a job with its parameters, as plain TOML values."""

    use: str
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class SelectSpec:
    """Which candidates pass: streams through unless it must see all first.

    `where` is an OPTIMADE filter; `order_by` + `limit` keeps the best (ascending; a leading ``-``
    turns it round); `sample` keeps that many drawn by the campaign's seed; with `per`, so many of
    each value of that name; `rolling` emits a candidate as soon as it ranks among the best `limit`
    seen so far, and never takes it back.
    """

    where: str | None = None
    order_by: str | None = None
    limit: int | None = None
    sample: int | None = None
    per: str | None = None
    rolling: bool = False

    @property
    def streams(self) -> bool:
        """True if a candidate's fate is known when it arrives."""
        return self.rolling or (self.limit is None and self.sample is None)


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a task is tried again, by class of failure; infrastructure is free but bounded."""

    calculation: int = 1
    memory: int = 2
    correction: int = 10
    infrastructure: int = 20


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job as the campaign file states it; `line` is where."""

    name: str
    steps: tuple[StepSpec, ...] = ()
    inputs: tuple[str, ...] = ()
    select: SelectSpec | None = None
    pool: str | None = None
    resources: Request | None = None
    retries: Retries = Retries()
    priority: int = 0
    grain: int | None = None
    target_task_s: float = 5.0
    buffer: int = 10_000
    line: int | None = None


@dataclass(frozen=True, slots=True)
class StopSpec:
    """When the campaign has enough: job `job` kept that many, or a ceiling is reached."""

    job: str
    kept: int
    max_candidates: int | None = None
    max_node_hours: float | None = None


@dataclass(frozen=True, slots=True)
class Chemistry:
    """Elements that candidates must, may and may not hold; sources obey it."""

    require: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_elements: int | None = None

    def admits(self, symbol: str) -> bool:
        """True if the element may occur: not excluded, and named where `allow` names any."""
        named = not self.allow or symbol in self.allow or symbol in self.require
        return named and symbol not in self.exclude


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign file, read and checked."""

    name: str
    jobs: tuple[JobSpec, ...]
    seed: int = 0
    database: str | None = None
    chemistry: Chemistry = Chemistry()
    stop: StopSpec | None = None
    file: str | None = None


class AttemptId(NamedTuple):
    """One try at a task: the master's epoch and a counter, never used again."""

    epoch: int
    n: int


class StepCost(NamedTuple):
    """Where the wall time of one step of a task went, seconds; what is not named it waited.

    `compute_s` its cores computed, `io_s` it read, wrote or waited for a disk, `staging_s` inputs
    were written and results read; its programs read and wrote so many MiB. `step`: its number in
    the job.
    """

    step: int
    wall_s: float = 0.0
    compute_s: float = 0.0
    io_s: float = 0.0
    staging_s: float = 0.0
    read_mib: float = 0.0
    written_mib: float = 0.0


class Location(NamedTuple):
    """Where an entry's bytes lie: journal segment, byte offset, size."""

    segment: int
    offset: int
    size: int


class Failure(StrEnum):
    """Why an attempt did not bring a result, by what is to be done about it (DESIGN 3)."""

    INFRASTRUCTURE = "infrastructure"
    """Node, link or agent: free retry elsewhere."""
    WALLTIME = "walltime"
    """The node's time ended: free retry, from the checkpoint."""
    MEMORY = "memory"
    """Out of memory: retry with more."""
    CORRECTABLE = "correctable"
    """The calculator named a corrected input: retry with it."""
    CALCULATION = "calculation"
    """It raised, timed out, crashed or returned nonsense: retry n times, bisect batches."""
    USER = "user"
    """No try can help: stop the job, keep the rest."""
