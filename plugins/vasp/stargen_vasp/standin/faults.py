"""Faults on demand: what the stand-in does wrong, when, and how often.

The environment variable STARGEN_MOCK_VASP_FAULTS holds a JSON list of tables, or the path of a file
with one::

    [{"fault": "zbrent", "at_step": 2, "times": 1, "share": 0.05, "relaxing": true}]

`at_step`: at which ionic step, from 1. `times`: in how many runs in this folder, which a file there
counts, so that a corrected run goes through. `share`: of the candidates, drawn by their names.
`relaxing`: only in runs with, or without, ionic steps. `only`: for the candidate of that name.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import NoReturn

VARIABLE = "STARGEN_MOCK_VASP_FAULTS"
LOG = "STARGEN_MOCK_VASP_LOG"
"""Environment variable: a file that gets a line for each fault: the candidate's name, which fault,
seconds since the inputs were written, seconds since the epoch."""

_COUNTS = "standin-faults.json"
_FOR_EVER_S = 3_600.0

PRINTED = {
    "zbrent": " ZBRENT: fatal error in bracketing\n     please rerun with smaller EDIFF",
    "brmix": " BRMIX: very serious problems\n the old and the new charge density differ",
    "edddav": " Error EDDDAV: Call to ZHEGV failed. Returncode =   7 1   8",
    "eddrmm": " WARNING in EDDRMM: call to ZHEGV failed, returncode =   8  4  1",
    "zheev": " ERROR EDDIAG: Call to routine ZHEEV failed!  Info =  2",
    "zpotrf": " LAPACK: Routine ZPOTRF failed!           1           1           1",
    "posmap": " POSMAP internal error: symmetry equivalent atom not found,",
    "rhosyg": " RHOSYG internal error: stars are not distinct, try to increase SYMPREC",
    "pricel": " VERY BAD NEWS! internal error in subroutine PRICEL:",
    "ibzkpt": " VERY BAD NEWS! internal error in subroutine IBZKPT:",
    "real_optlay": " REAL_OPTLAY: internal error (1)        27131        27963",
    "too_few_bands": " |      unoccupied bands, you have included TOO FEW BANDS!! Please increase",
    "fexcf": " ERROR FEXCF: supplied exchange-correlation table is too small, maximal index :  5",
    "read_error": " Error reading item EFERMI from file INCAR.\n Error code was IERR= 5 ... .",
    "set_core_wf": " internal error in SET_CORE_WF: core electrons incorrect 51.0",
    "disk-full": " forrtl: No space left on device\n forrtl: severe (38): error during write",
    "oom": "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=1.0. Some of your processes",
    "time-limit": "slurmstepd: error: *** STEP 1.0 ON n1 CANCELLED DUE TO TIME LIMIT ***",
}
"""What VASP, the Fortran library or Slurm print in that case."""

_ENDS = {
    "oom": signal.SIGKILL,
    "time-limit": signal.SIGTERM,
    "killed": signal.SIGKILL,
    "crash": signal.SIGSEGV,
    "empty-contcar": signal.SIGKILL,
    "broken-contcar": signal.SIGKILL,
}
BEHAVIOURS = (
    "nonconv",
    "hang",
    "truncate",
    "killed",
    "crash",
    "empty-contcar",
    "broken-contcar",
    "node-loss",
    "slow-start",
    "never-starts",
    "ignores-stopcar",
    "positive-energy",
)
"""Faults that print nothing."""

KINDS = (*PRINTED, *BEHAVIOURS)


@dataclass(slots=True)
class Fault:
    """One line of the plan."""

    fault: str
    at_step: int = 1
    times: int = 1
    share: float = 1.0
    relaxing: bool | None = None
    only: str | None = None
    seconds: float = 2.0


class Faults:
    """The plan for the run in `folder`."""

    def __init__(self, folder: Path, relaxing: bool, plan: list[Fault]) -> None:
        self._folder = folder
        self._counts = _read_counts(folder / _COUNTS)
        self._plan = [
            fault
            for fault in plan
            if fault.relaxing in (None, relaxing)
            and self._counts.get(fault.fault, 0) < fault.times
            and _drawn(folder, fault)
        ]

    @classmethod
    def planned(cls, folder: Path, relaxing: bool) -> Faults:
        """By the environment; no faults without."""
        text = os.environ.get(VARIABLE, "[]")
        if not text.lstrip().startswith("["):
            text = Path(text).read_text()
        return cls(folder, relaxing, [Fault(**row) for row in json.loads(text)])

    def has(self, kind: str, step: int | None = None) -> bool:
        """Whether that fault is due (at that ionic step); it is counted if so."""
        for fault in self._plan:
            if fault.fault == kind and step in (None, fault.at_step):
                self._count(kind)
                return True
        return False

    def at_start(self) -> None:
        """Before a line is written."""
        for fault in self._plan:
            if fault.fault == "slow-start":
                self._count("slow-start")
                time.sleep(fault.seconds)
        if self.has("never-starts"):
            time.sleep(_FOR_EVER_S)

    def at_step(self, step: int) -> None:
        """Before an ionic step is over; may not return."""
        for fault in list(self._plan):
            if fault.at_step == step and fault.fault not in _ELSEWHERE:
                self._count(fault.fault)
                self._do(fault.fault)

    def _do(self, kind: str) -> None:
        text = PRINTED.get(kind)
        if text is not None:
            print(text, file=sys.stderr if text.startswith("slurm") else sys.stdout, flush=True)
        match kind:
            case "hang":
                time.sleep(_FOR_EVER_S)
            case "empty-contcar":
                (self._folder / "CONTCAR").write_text("")
            case "broken-contcar":
                (self._folder / "CONTCAR").write_text("half a li")
            case "node-loss":
                os.killpg(0, signal.SIGKILL)
            case _:
                pass
        if kind in _ENDS:
            end_by(_ENDS[kind])
        if text is not None:
            raise SystemExit(1)

    def _count(self, kind: str) -> None:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        (self._folder / _COUNTS).write_text(json.dumps(self._counts))
        log = os.environ.get(LOG)
        if log is not None:
            now = time.time()
            since_inputs = now - (self._folder / "INCAR").stat().st_mtime
            with Path(log).open("a") as file:
                file.write(json.dumps([_name(self._folder), kind, since_inputs, now]) + "\n")


_ELSEWHERE = (
    "nonconv",
    "truncate",
    "slow-start",
    "never-starts",
    "ignores-stopcar",
    "positive-energy",
)


def end_by(number: signal.Signals) -> NoReturn:
    """Die of a signal."""
    sys.stdout.flush()
    signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
    os.kill(os.getpid(), number)
    time.sleep(_FOR_EVER_S)
    raise SystemExit(1)


def _read_counts(path: Path) -> dict[str, int]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _name(folder: Path) -> str:
    """The candidate's, by the first line of POSCAR."""
    return (folder / "POSCAR").read_text().split("\n", 1)[0].split()[0]


def _drawn(folder: Path, fault: Fault) -> bool:
    name = _name(folder)
    if fault.only not in (None, name):
        return False
    if fault.share >= 1.0:
        return True
    digest = blake2b(f"{fault.fault} {name}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32 < fault.share
