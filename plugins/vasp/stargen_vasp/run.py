"""The note of a VASP run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stargen_dft import run

from stargen.processes import out_of_memory_kills

SOFT_STOP = "stargen-soft-stop"
"""Marks that the run was asked to stop because its time ends."""


@dataclass(slots=True, kw_only=True)
class Run(run.Run):
    """What a task's folder tells of itself.

    Parameters
    ----------
    start_s, continuations : as the parameters say
    earlier_energies : eV, of the ionic steps that earlier runs of this step finished
    memory_kills : how many processes the node's kernel had killed for memory when the run began
    own : INCAR tags that the campaign itself gives
    """

    start_s: float = 0.0
    continuations: int = 0
    earlier_energies: list[float] = field(default_factory=list)
    memory_kills: int = 0
    own: list[str] = field(default_factory=list)

    def begin(self, folder: Path, attempt_began: float | None = None) -> None:
        self.memory_kills = out_of_memory_kills()
        run.Run.begin(self, folder, attempt_began)

    @property
    def killed_for_memory(self) -> bool:
        """Whether this node's kernel has killed any process for memory since the run began."""
        return out_of_memory_kills() > self.memory_kills

    @property
    def settled(self) -> set[str]:
        """INCAR tags that no later attempt may choose again: the campaign's, and corrected ones."""
        return {name for c in self.corrections for name in c["changes"]} | set(self.own)
