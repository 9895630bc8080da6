"""What must be known before a heavy import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stargen.calculators.contract import CalculatorInfo
from stargen.model import Resources, Shape

Mode = Literal[
    "none", "raise", "garbage", "too-few", "stranger", "loop", "deaf-loop", "segfault", "exit",
    "memory", "kill",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class SourceParams:
    """`count` candidates, found out on the way; every `stillborn_every`-th does not come to be."""

    count: int = 50
    stillborn_every: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class DrawParams:
    """Moves the atoms by chance, draws `luck`, drops those below `least`."""

    least: float = 0.0


@dataclass(frozen=True, slots=True)
class FanParams:
    """Up to `most` children of each, none is a drop."""

    most: int = 3


@dataclass(frozen=True, slots=True)
class LongParams:
    """`seconds` for each candidate; each begun execution is a line in the file `log`."""

    seconds: float = 1.0
    log: str = ""


@dataclass(frozen=True, slots=True)
class WalkParams:
    """`steps` of `seconds` each; after each of them a line in the file `log`, and a checkpoint."""

    steps: int = 6
    seconds: float = 0.1
    log: str = ""


@dataclass(frozen=True, slots=True)
class TableParams:
    """A file of numbers, and a folder of such files."""

    table: str = "table.txt"
    folder: str = "more"


@dataclass(frozen=True, slots=True)
class PartParams:
    """Leaves the file of `part` after `seconds`; each begun execution is a line in `log`."""

    part: int = 1
    seconds: float = 0.2
    log: str = ""


@dataclass(frozen=True, slots=True)
class FaultParams:
    """What goes wrong, and for whom.

    Parameters
    ----------
    mode : what happens
    every : to each candidate whose ordinal at birth is a multiple of this
    once : file that remembers whom it happened to; those are spared the next time
    memory_gib : what a task asks for
    walltime_s : after which a task is stopped
    """

    mode: Mode = "none"
    every: int = 10
    once: str = ""
    memory_gib: float = 0.0
    walltime_s: float | None = None


source = CalculatorInfo(
    name="nasty.source",
    api=1,
    factory="stargen_nasty.calculators:Source",
    shape=Shape.SOURCE,
    params=SourceParams,
    properties=("birth",),
    summary="salts of many formulas, some stillborn; says only on the way where it ends",
)

draw = CalculatorInfo(
    name="nasty.draw",
    api=1,
    factory="stargen_nasty.calculators:Draw",
    params=DrawParams,
    properties=("luck",),
    reuse="seeded",
    summary="changes and judges candidates by chance",
)

fan = CalculatorInfo(
    name="nasty.fan",
    api=1,
    factory="stargen_nasty.calculators:Fan",
    params=FanParams,
    properties=("child",),
    reuse="seeded",
    summary="several children of each candidate, or none",
)

long = CalculatorInfo(
    name="nasty.long",
    api=1,
    factory="stargen_nasty.calculators:Long",
    params=LongParams,
    grain=1,
    summary="takes its time, and keeps a list of what it began",
)

walk = CalculatorInfo(
    name="nasty.walk",
    api=1,
    factory="stargen_nasty.calculators:Walk",
    params=WalkParams,
    grain=1,
    properties=("walk",),
    checkpoint="state",
    reuse="seeded",
    summary="walks at random, and goes on from its last step",
)

table = CalculatorInfo(
    name="nasty.table",
    api=1,
    factory="stargen_nasty.calculators:Table",
    params=TableParams,
    properties=("looked", "at"),
    reads=lambda params: (params.table, params.folder),
    summary="looks things up in a file and in the files of a folder",
)

part = CalculatorInfo(
    name="nasty.part",
    api=1,
    factory="stargen_nasty.program:Part",
    program=True,
    params=PartParams,
    grain=1,
    properties=("parts", "weight"),
    checkpoint="files",
    reuse="seeded",
    summary="an external program that adds a file to those of the step before",
)

fault = CalculatorInfo(
    name="nasty.fault",
    api=1,
    factory="stargen_nasty.calculators:Fault",
    params=FaultParams,
    resources=lambda params, envelope: (
        Resources(memory_gib=params.memory_gib, walltime_s=params.walltime_s),
    ),
    summary="goes wrong in the way that is asked for",
)

unloadable = CalculatorInfo(
    name="nasty.unloadable",
    api=1,
    factory="stargen_nasty.calculators:Unloadable",
    summary="its model cannot be loaded",
)
