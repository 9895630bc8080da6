"""What a campaign file may hold, as dataclasses that parser and JSON Schema both follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from stargen.model import Chemistry, Retries, Scratch, SelectSpec, StopSpec
from stargen.typed import Bounds

Count = Annotated[int, Bounds(least=1)]
Amount = Annotated[float, Bounds(least=0)]


@dataclass(frozen=True, slots=True)
class VariantTable:
    """What one task is granted.

    Parameters
    ----------
    cores : CPU cores
    gpus : GPUs; a fraction shares one device
    memory_gib : memory in GiB
    scratch_gib : space in the task's folder, GiB
    io : slots for tasks that mostly read and write
    nodes : nodes of one allocation, for a gang
    walltime_s : seconds after which the task is stopped
    scratch : where the task's folder lies: nowhere special, on a local disk, or in memory
    custom : resources that the site file names
    """

    cores: Annotated[int, Bounds(least=0)] = 1
    gpus: Amount = 0.0
    memory_gib: Amount = 0.0
    scratch_gib: Amount = 0.0
    io: Annotated[int, Bounds(least=0)] = 0
    nodes: Count = 1
    walltime_s: Annotated[float, Bounds(above=0)] | None = None
    scratch: Scratch = "none"
    custom: Mapping[str, Amount] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class ResourcesTable(VariantTable):
    """What one task is granted, instead of what its calculator would ask for.

    Parameters
    ----------
    or : what it takes if the first is not to be had; a table, or a list in order of preference
    """

    or_: VariantTable | tuple[VariantTable, ...] = ()


@dataclass(frozen=True, slots=True)
class JobTable:
    """One job: a calculator (`use`), several in a row (`step`), or a selection (`select`).

    Parameters
    ----------
    name : how other jobs, commands and candidates' ids call it
    input : the job, or the jobs, whose candidates it takes; a source has none
    use : the calculator
    params : its parameters
    step : calculators that run one after another on the same batch; a table each, which holds
        `use` and the calculator's parameters
    select : which candidates pass, instead of a calculator
    pool : only nodes of this pool of the site file
    resources : what one task is granted
    retries : how often a task is tried again
    priority : higher goes first
    grain : candidates per task; "auto" grows it until a task lasts about `target_task_s`
    target_task_s : seconds that a task should last
    buffer : candidates that may wait at its input before those upstream pause
    """

    name: str
    input: str | tuple[str, ...] = ()
    use: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    step: tuple[Mapping[str, Any], ...] = ()
    select: SelectSpec | None = None
    pool: str | None = None
    resources: ResourcesTable | None = None
    retries: Retries = field(default_factory=Retries)
    priority: int = 0
    grain: Count | Literal["auto"] = "auto"
    target_task_s: Annotated[float, Bounds(above=0)] = 5.0
    buffer: Count = 10_000


@dataclass(frozen=True, slots=True)
class CampaignTable:
    """What holds for the whole campaign.

    Parameters
    ----------
    name : how databases and reports call it
    seed : all chance in the campaign comes from it
    database : URL of the database that receives the candidates
    chemistry : elements that candidates must, may and may not hold
    stop : when the campaign has enough
    """

    name: str
    seed: Annotated[int, Bounds(least=0, most=2**63 - 1)] = 0
    database: str | None = None
    chemistry: Chemistry = field(default_factory=Chemistry)
    stop: StopSpec | None = None


@dataclass(frozen=True, slots=True)
class CampaignFile:
    """A Star-gen campaign: jobs, and what holds for all of them."""

    campaign: CampaignTable
    job: tuple[JobTable, ...]
