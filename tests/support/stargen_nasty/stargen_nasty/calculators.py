"""The calculators; only worker processes import this module."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stargen.calculators.contract import Context
from stargen.codec import pack, unpack
from stargen.crystal import Candidate, Crystal, Drop

_CATIONS = (3, 11, 12, 19, 20, 29, 30, 37)
_ANIONS = (8, 9, 16, 17, 35)


class _Plain:
    def open(self, context: Context) -> None:
        pass

    def close(self) -> None:
        pass


class Source(_Plain):
    """Its length is in no descriptor: it says where it ends when it is asked for more."""

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate | Drop]:
        params = context.params
        for ordinal in context.ordinals:
            if ordinal >= params.count:
                context.end_of_source(params.count)
                return
            time.sleep(params.seconds)
            if params.stillborn_every and ordinal % params.stillborn_every == 1:
                yield context.stillborn(ordinal, "stillborn")
            else:
                yield context.birth(ordinal, _crystal(context, ordinal), birth=ordinal)


class Draw(_Plain):
    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate | Drop]:
        for candidate in candidates:
            rng = context.rng(candidate.candidate_id)
            luck = float(rng.random())
            old = candidate.crystal
            moved = old.frac_coords + rng.normal(scale=0.01, size=old.frac_coords.shape)
            if luck < context.params.least:
                yield candidate.drop("unlucky", f"luck is {luck:.3f}")
            else:
                yield candidate.with_(Crystal.of(old.lattice, moved, old.numbers), luck=luck)


class Fan(_Plain):
    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate | Drop]:
        for candidate in candidates:
            children = int(context.rng(candidate.candidate_id).integers(context.params.most + 1))
            if not children:
                yield candidate.drop("childless")
            for child in range(children):
                old = candidate.crystal
                grown = Crystal.of(old.lattice * (1 + 0.01 * child), old.frac_coords, old.numbers)
                yield candidate.with_(grown, child=child)


class Long(_Plain):
    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate]:
        for candidate in candidates:
            if context.params.log:
                note(
                    context.input_file(context.params.log),
                    f"{context.job} {candidate.candidate_id}",
                )
            end = time.monotonic() + context.params.seconds
            while (left := end - time.monotonic()) > 0:
                time.sleep(min(left, 0.05))
            yield candidate


class Walk(_Plain):
    """Where it comes to depends on every step, so a step done twice or left out would show."""

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate]:
        params = context.params
        for candidate in candidates:
            name = candidate.candidate_id
            step, place = unpack(context.resume() or pack((0, 0.0)))
            while step < params.steps:
                time.sleep(params.seconds)
                place = 0.5 * place + float(context.rng(name, step).normal())
                step += 1
                note(context.input_file(params.log), f"{context.job} {name} {step}")
                context.checkpoint(pack((step, place)))
            yield candidate.with_(walk=place)


class Table(_Plain):
    def open(self, context: Context) -> None:
        files = [context.input_file(context.params.table)]
        files += sorted(context.input_file(context.params.folder).rglob("*.txt"))
        self._sum = sum(int(number) for file in files for number in file.read_text().split())

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate]:
        for candidate in candidates:
            yield candidate.with_(looked=self._sum, at=os.uname().nodename)


class Fault(_Plain):
    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterable[Any]:
        params = context.params
        struck = [c for c in candidates if _ordinal(c) % params.every == 0]
        memory = context.input_file(params.once) if params.once else None
        if memory is not None:
            before = memory.read_text().split() if memory.exists() else []
            struck = [c for c in struck if c.candidate_id not in before]
        if not struck or params.mode == "none":
            return candidates
        if memory is not None:
            note(memory, struck[0].candidate_id)
        return _FAULTS[params.mode](candidates)


class Unloadable(_Plain):
    def open(self, context: Context) -> None:
        raise FileNotFoundError("weights.pt is not here")

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterable[Candidate]:
        return candidates


def _raise(candidates: Sequence[Candidate]) -> Iterable[Any]:
    raise ArithmeticError("the cell has imaginary corners")


def _loop(candidates: Sequence[Candidate]) -> Iterable[Any]:
    while True:
        time.sleep(0.01)


def _deaf_loop(candidates: Sequence[Candidate]) -> Iterable[Any]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return _loop(candidates)


def _segfault(candidates: Sequence[Candidate]) -> Iterable[Any]:
    ctypes.string_at(0)
    return candidates


def _exit(candidates: Sequence[Candidate]) -> Iterable[Any]:
    os._exit(3)


def _kill(candidates: Sequence[Candidate]) -> Iterable[Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return candidates


def _eat(candidates: Sequence[Candidate]) -> Iterable[Any]:
    eaten: list[bytearray] = []
    while True:
        eaten.append(bytearray(b"x") * (16 * 2**20))
        time.sleep(0.02)


_FAULTS = {
    "raise": _raise,
    "garbage": lambda candidates: ["a crystal", 42, None],
    "too-few": lambda candidates: candidates[1:],
    "stranger": lambda candidates: [*candidates, candidates[0].drop("twice")],
    "loop": _loop,
    "deaf-loop": _deaf_loop,
    "segfault": _segfault,
    "exit": _exit,
    "memory": _eat,
    "kill": _kill,
}


def _crystal(context: Context, ordinal: int) -> Crystal:
    rng = context.rng(ordinal)
    edge = 4.0 + float(rng.random())
    numbers = [int(rng.choice(_CATIONS)), int(rng.choice(_ANIONS))]
    return Crystal.of(edge * np.eye(3), [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]], numbers)


def _ordinal(candidate: Candidate) -> int:
    return int(candidate.candidate_id.split("/")[1])


def note(path: Path, line: str) -> None:
    """One line, whole even if several processes write, and there even if this one dies."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, f"{line}\n".encode())
    os.close(fd)
