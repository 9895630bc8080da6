"""Failure policy: what is done about an attempt that failed, and when a job or node is set aside.

Infrastructure and walltime cost no retry (but are bounded, so that a candidate that kills nodes is
found). Memory is retried with more. A batch that fails is bisected before anything is blamed. One
candidate that fails too often is quarantined, and if candidates fail in a row the job is held.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from stargen.model import Failure, Retries, Shape
from stargen.scheduling.jobs import Task

Verdict = Literal["retry", "split", "quarantine", "stop"]

MEMORY_GROWTH = 1.5
WINDOW = 20
"""How many of a job's last ended candidates or batches are looked at."""
HELD_SHARE = 0.5
HELD_AT_LEAST = 10
"""A job is held when that many of the window failed, and at least that share."""
HELD_ATTEMPTS = 15
"""It is held too when so many attempts failed in a row and none succeeded in between."""
_SPEAK_AGAINST_A_JOB = (Failure.INFRASTRUCTURE, Failure.CALCULATION)
NODE_FAILURES = 5
"""A node is set aside after so many failures in a row that others did not share."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and what goes with it."""

    verdict: Verdict
    middle: int = 0
    memory_factor: float = 1.0


def decide(task: Task, failure: Failure, retries: Retries, shape: Shape) -> Decision:
    """What to do after one more `failure` of `task` (its tries count the earlier ones)."""
    if failure is Failure.USER:
        return Decision("stop")
    allowed = {
        Failure.INFRASTRUCTURE: retries.infrastructure,
        Failure.WALLTIME: retries.infrastructure,
        Failure.MEMORY: retries.memory,
        Failure.CORRECTABLE: retries.correction,
        Failure.CALCULATION: retries.calculation,
    }[failure]
    free = failure in (Failure.INFRASTRUCTURE, Failure.WALLTIME)
    divisible = task.hi - task.lo > 1 and shape is not Shape.GATHER
    if divisible and not (free and task.tried(failure) < allowed):
        return Decision("split", middle=(task.lo + task.hi) // 2)
    if task.tried(failure) < allowed:
        grow = MEMORY_GROWTH if failure is Failure.MEMORY else 1.0
        return Decision("retry", memory_factor=grow)
    return Decision("stop" if shape is Shape.GATHER else "quarantine")


class JobHealth:
    """The last ends of one job (True for a failure that stayed), and its failures in a row."""

    __slots__ = ("_in_a_row", "_window")

    def __init__(self) -> None:
        self._window: deque[bool] = deque(maxlen=WINDOW)
        self._in_a_row = 0

    def ended(self, failed: bool) -> None:
        self._window.append(failed)
        if not failed:
            self._in_a_row = 0

    def attempted(self, failure: Failure, verdict: Verdict) -> None:
        """An attempt failed. A batch that is split has a culprit, and memory may yet suffice."""
        if verdict != "split" and failure in _SPEAK_AGAINST_A_JOB:
            self._in_a_row += 1

    def clear(self) -> None:
        self._window.clear()
        self._in_a_row = 0

    @property
    def failing(self) -> bool:
        """True if the job burns through its candidates."""
        failed = sum(self._window)
        stayed = failed >= HELD_AT_LEAST and failed >= HELD_SHARE * len(self._window)
        return stayed or self._in_a_row >= HELD_ATTEMPTS
