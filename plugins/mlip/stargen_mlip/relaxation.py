"""One crystal on its way downhill, atoms and cell together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.linalg import expm

from stargen import Crystal
from stargen_mlip.optimizers import OPTIMIZERS, Floats, Optimizer
from stargen_mlip.potential import Evaluation


@dataclass(slots=True)
class Relaxation:
    """Atoms and cell, the optimizer that moves them, and how far they have come.

    A step moves the atoms and strains the cell by ``expm(strain)``, atoms going with it. The
    strain counts as displacement ``strain x n_atoms`` Å, and the stress as the force
    ``-volume x stress / n_atoms``, so that one optimizer and one threshold serve both.

    Parameters
    ----------
    crystal : where it is
    optimizer : with its memory
    initial_volume : Å^3
    cell : whether the cell moves
    steps : done so far
    """

    crystal: Crystal
    optimizer: Optimizer
    initial_volume: float
    cell: bool
    steps: int = 0

    @classmethod
    def start(cls, crystal: Crystal, optimizer: str, *, cell: bool) -> Self:
        """At the beginning."""
        return cls(crystal, OPTIMIZERS[optimizer](), crystal.volume, cell)

    @property
    def volume_ratio(self) -> float:
        """Volume now over volume at the start."""
        return self.crystal.volume / self.initial_volume

    def forces(self, evaluation: Evaluation) -> Floats:
        """Generalised forces, eV/Å: one row an atom, and three for the cell if it moves."""
        if not self.cell:
            return evaluation.forces
        virial = -self.crystal.volume * evaluation.stress / self.crystal.n_atoms
        return np.vstack([evaluation.forces, virial])

    def move(self, forces: Floats) -> None:
        """One step along."""
        step = self.optimizer.step(forces)
        n, lattice = self.crystal.n_atoms, self.crystal.lattice
        frac = self.crystal.frac_coords + np.linalg.solve(lattice.T, step[:n].T).T
        if self.cell:
            strain = step[n:] / n
            lattice = lattice @ expm((strain + strain.T) / 2)
        self.crystal = Crystal.of(lattice, frac, self.crystal.numbers)
        self.steps += 1

    def state(self) -> dict[str, Any]:
        """All that `restored` needs to go on."""
        return {
            "lattice": self.crystal.lattice,
            "frac_coords": self.crystal.frac_coords,
            "numbers": self.crystal.numbers,
            "optimizer": self.optimizer.state(),
            "initial_volume": self.initial_volume,
            "steps": self.steps,
        }

    @classmethod
    def restored(cls, state: dict[str, Any], optimizer: str, *, cell: bool) -> Self:
        """The relaxation that gave `state`."""
        return cls(
            Crystal.of(state["lattice"], state["frac_coords"], state["numbers"]),
            OPTIMIZERS[optimizer].restored(state["optimizer"]),
            state["initial_volume"],
            cell,
            state["steps"],
        )
