"""What a run's folder tells of itself: which step it is at, since when, what was mended.

The note lies beside the program's files and travels with them, so that an attempt on another node
goes on where the last one stopped and ceilings count for the whole task.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from stargen.files import write_atomically

NOTE = "stargen-run.json"


@dataclass(slots=True, kw_only=True)
class Run:
    """One task's folder. A plugin adds fields of its own.

    Parameters
    ----------
    step : which calculator's files these are
    done : whether that step has its result
    place : the folder of the attempt that wrote this; another one means another attempt
    attempt_began, run_began : seconds since the epoch
    walltime_s : of the attempt, if it has a limit
    strict, max_corrections, silent_s : as the parameters say
    corrections : all of the task so far: step, fault, message, changes, and how long after the
        run's begin it was mended, seconds
    initial_volume : Å^3, before this step
    known : what steps found out for later ones
    path : labels and starts of the band path that the k-points end with
    """

    step: str
    done: bool = False
    place: str = ""
    attempt_began: float = 0.0
    run_began: float = 0.0
    walltime_s: float | None = None
    strict: bool = False
    max_corrections: int = 0
    silent_s: float = 0.0
    corrections: list[dict[str, Any]] = field(default_factory=list)
    initial_volume: float = 0.0
    known: dict[str, Any] = field(default_factory=dict)
    path: dict[str, Any] | None = None

    @classmethod
    def of(cls, folder: Path) -> Self | None:
        """The note of a folder, if there is one that can be read."""
        try:
            return cls(**json.loads((folder / NOTE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, folder: Path) -> None:
        write_atomically(folder / NOTE, json.dumps(asdict(self)).encode())

    def begin(self, folder: Path, attempt_began: float | None = None) -> None:
        """A run begins now; it is the first of an attempt if the folder is a new one."""
        now = time.time()
        if self.place != str(folder):
            self.place, self.attempt_began = str(folder), attempt_began or now
        self.run_began = now
        self.save(folder)

    def mended(self, fault: str) -> int:
        """How often that fault was corrected in this step."""
        return sum(c["fault"] == fault and c["step"] == self.step for c in self.corrections)

    def note_correction(self, fault: str, message: str, changes: Mapping[str, Any]) -> None:
        self.corrections.append(
            {
                "step": self.step,
                "fault": fault,
                "message": message,
                "changes": {key: list(pair) for key, pair in changes.items()},
                "after_s": round(time.time() - self.run_began, 1),
            }
        )

    def time_left_s(self) -> float | None:
        """Until the attempt's walltime; None if it has none."""
        if self.walltime_s is None:
            return None
        return self.walltime_s - (time.time() - self.attempt_began)
