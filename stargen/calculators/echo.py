"""The smallest real calculators, one of each shape. Read this file first.

A calculator is a class with `open`, `run` and `close`, and a `CalculatorInfo` that announces it.
The four here compute nothing; they show what goes in and what must come out, and they are what
the first example, the benchmarks and many tests run. An entry point in pyproject.toml makes a name
known::

    [project.entry-points."stargen.calculators"]
    "echo.map" = "stargen.calculators.echo:map_"
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stargen.calculators.contract import CalculatorInfo, Context
from stargen.crystal import Candidate, Crystal, Drop
from stargen.model import Shape

_SALTS = tuple((cation, anion) for cation in (3, 11, 19, 37, 55) for anion in (9, 17, 35, 53))
"""Atomic numbers of the alkali halides, LiF to CsI."""


@dataclass(frozen=True, slots=True)
class SourceParams:
    """Parameters of `echo.source`.

    Parameters
    ----------
    count : how many candidates
    payload_bytes : data that each carries
    seconds : time that each takes
    """

    count: int = 100
    payload_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class MapParams:
    """Parameters of `echo.map`.

    Parameters
    ----------
    seconds : time that each candidate takes
    random : draw a number between 0 and 1 for each, the property `echo`
    """

    seconds: float = 0.0
    random: bool = False


@dataclass(frozen=True, slots=True)
class KeyedParams:
    """Parameters of `echo.keyed`.

    Parameters
    ----------
    keep : how many candidates of each formula
    """

    keep: int = 1


@dataclass(frozen=True, slots=True)
class GatherParams:
    """Nothing to choose."""


class _Echo:
    """What all four share: nothing to load, nothing to let go."""

    def open(self, context: Context) -> None:
        """A real calculator loads its weights or tables here, once per worker."""

    def close(self) -> None:
        """And frees what does not free itself."""


class Source(_Echo):
    """Makes rock salt crystals: a source gets no candidates, but ordinals to produce."""

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterable[Candidate]:
        params: SourceParams = context.params
        for ordinal in context.ordinals:
            time.sleep(params.seconds)
            made = context.birth(ordinal, _salt(ordinal))
            yield made.with_(data={"payload": bytes(params.payload_bytes)})


class Map(_Echo):
    """Hands every candidate on: a map yields at least one candidate or Drop for each it gets.

    A random number depends on the candidate's id and never on the batch it came in, so that the
    same campaign gives the same numbers however its tasks were cut.
    """

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterable[Candidate]:
        params: MapParams = context.params
        for done, candidate in enumerate(candidates):
            if params.seconds:
                time.sleep(params.seconds)
                context.progress(done + 1, len(candidates))
            if params.random:
                candidate = candidate.with_(echo=context.rng(candidate.candidate_id).random())
            yield candidate


class Keyed(_Echo):
    """Keeps the first few of each formula: one call per key, which sees what the key has kept."""

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterable[Candidate | Drop]:
        room = context.params.keep - len(context.kept)
        for place, candidate in enumerate(candidates):
            yield candidate if place < room else candidate.drop("formula seen before")


class Gather(_Echo):
    """Sees all candidates at once, and tells each its place by id: the property `echo_rank`."""

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterable[Candidate]:
        for rank, candidate in enumerate(sorted(candidates, key=lambda c: c.candidate_id)):
            yield candidate.with_(echo_rank=rank)


def _salt(ordinal: int) -> Crystal:
    """The primitive cell of an alkali halide; no two ordinals give quite the same."""
    edge_ang = 2.0 + (ordinal % 1_000_003) * 1e-6
    lattice = edge_ang * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    return Crystal.of(lattice, [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]], _SALTS[ordinal % len(_SALTS)])


source = CalculatorInfo(
    name="echo.source",
    api=1,
    factory="stargen.calculators.echo:Source",
    shape=Shape.SOURCE,
    params=SourceParams,
    total=lambda params: params.count,
    summary="Rock salt crystals, as many as you like",
)

map_ = CalculatorInfo(
    name="echo.map",
    api=1,
    factory="stargen.calculators.echo:Map",
    params=MapParams,
    properties=("echo",),
    reuse="seeded",
    summary="Hands candidates on",
)

keyed = CalculatorInfo(
    name="echo.keyed",
    api=1,
    factory="stargen.calculators.echo:Keyed",
    shape=Shape.KEYED,
    params=KeyedParams,
    key=lambda params: lambda envelope: envelope.formula,
    reuse="never",
    summary="Keeps the first few of each formula",
)

gather = CalculatorInfo(
    name="echo.gather",
    api=1,
    factory="stargen.calculators.echo:Gather",
    shape=Shape.GATHER,
    params=GatherParams,
    properties=("echo_rank",),
    reuse="never",
    summary="Numbers all candidates",
)
