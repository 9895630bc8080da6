"""Calculators that look things up in a large table, for benchmarks/affinity.py."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stargen.calculators.contract import CalculatorInfo, Context
from stargen.crystal import Candidate

LOOKS = 10_000


@dataclass(frozen=True, slots=True)
class LookParams:
    """Which table, and how it comes to the task.

    Parameters
    ----------
    table : file with an array
    how : "task": each task loads it; "worker": each worker; "node": once on each node, mapped
    """

    table: str
    how: str = "node"


class Look:
    """Sums entries of the table, chosen by chance; tells how often it loaded and its memory."""

    def open(self, context: Context) -> None:
        self._loads = 0
        if context.params.how != "task":
            self._table = self._load(context)

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate]:
        for candidate in candidates:
            table = self._load(context) if context.params.how == "task" else self._table
            places = context.rng(candidate.candidate_id).integers(len(table), size=LOOKS)
            loads, self._loads = self._loads, 0
            yield candidate.with_(
                total=float(table[places].sum()), loads=loads, pss_mib=_pss_mib(), pid=os.getpid()
            )

    def close(self) -> None:
        pass

    def _load(self, context: Context) -> np.ndarray:
        path = context.input_file(context.params.table)
        if context.params.how == "node":
            return context.shared_arrays(str(path), lambda: {"table": self._read(path)})["table"]
        return self._read(path)

    def _read(self, path: Path) -> np.ndarray:
        self._loads += 1
        return np.load(path)


def _pss_mib() -> float:
    """This process's memory, what it shares divided by those who share it."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


look = CalculatorInfo(
    name="tables.look",
    api=1,
    factory="tables:Look",
    params=LookParams,
    affinity=lambda params: params.table,
    reads=lambda params: (params.table,),
)
anywhere = replace(look, name="tables.anywhere", affinity=None)
