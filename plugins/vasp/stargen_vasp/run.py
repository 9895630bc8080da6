"""The note of a VASP run."""

from __future__ import annotations

from dataclasses import dataclass

from stargen_dft import run

SOFT_STOP = "stargen-soft-stop"
"""Marks that the run was asked to stop because its time ends."""


@dataclass(slots=True, kw_only=True)
class Run(run.Run):
    """What a task's folder tells of itself.

    Parameters
    ----------
    start_s, continuations : as the parameters say
    ionic_steps : finished in earlier runs of this step
    """

    start_s: float = 0.0
    continuations: int = 0
    ionic_steps: int = 0
