"""Optimizers as small machines: forces in, displacement out, all of their state in plain values.

Their state goes into checkpoints, so that an interrupted relaxation ends where an undisturbed one
does, to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MAX_STEP_ANG = 0.2


class Optimizer(Protocol):
    """Decides where to go from the forces at each place."""

    def step(self, forces: Floats) -> Floats:
        """Displacement, Å, for generalised forces (m, 3), eV/Å."""
        ...

    def state(self) -> dict[str, Any]:
        """All that it remembers."""
        ...

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        """The optimizer that remembered `state`."""
        ...


@dataclass(slots=True)
class Fire:
    """Fast inertial relaxation engine: downhill with inertia, at rest when it points uphill.

    Source: Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006); its parameters.
    """

    time_step: float = 0.1
    mixing: float = 0.1
    downhill: int = 0
    velocity: Floats = field(default_factory=lambda: np.zeros((0, 3)))

    def step(self, forces: Floats) -> Floats:
        if len(self.velocity) != len(forces):
            self.velocity = np.zeros_like(forces)
        elif np.vdot(forces, self.velocity) > 0:
            along = forces * (np.linalg.norm(self.velocity) / np.linalg.norm(forces))
            self.velocity = (1 - self.mixing) * self.velocity + self.mixing * along
            if self.downhill > 5:
                self.time_step = min(self.time_step * 1.1, 1.0)
                self.mixing *= 0.99
            self.downhill += 1
        else:
            self.velocity = np.zeros_like(forces)
            self.mixing, self.downhill = 0.1, 0
            self.time_step *= 0.5
        self.velocity = self.velocity + self.time_step * forces
        return _bounded(self.time_step * self.velocity)

    def state(self) -> dict[str, Any]:
        return {
            "time_step": self.time_step,
            "mixing": self.mixing,
            "downhill": self.downhill,
            "velocity": self.velocity,
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        return cls(**state)


@dataclass(slots=True)
class Bfgs:
    """Quasi-Newton steps along the modes of an approximate Hessian, negative ones turned round.

    Source: Nocedal & Wright, Numerical Optimization (2006), chapter 6.
    """

    hessian: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    last_step: Floats = field(default_factory=lambda: np.zeros(0))
    last_forces: Floats = field(default_factory=lambda: np.zeros(0))

    def step(self, forces: Floats) -> Floats:
        flat = forces.ravel()
        if len(self.hessian) != len(flat):
            self.hessian = np.eye(len(flat)) * 70.0  # eV/Å^2, stiff, so that the start is careful
        else:
            self._learn(flat)
        curvature, modes = np.linalg.eigh(self.hessian)
        move = modes @ ((flat @ modes) / np.abs(curvature))
        step = _bounded(move.reshape(forces.shape))
        self.last_step, self.last_forces = step.ravel(), flat.copy()
        return step

    def _learn(self, flat: Floats) -> None:
        s, y = self.last_step, self.last_forces - flat
        if s @ s < 1e-14 or abs(y @ s) < 1e-12:  # nothing learnt from so short a step
            return
        hs = self.hessian @ s
        self.hessian = self.hessian + np.outer(y, y) / (y @ s) - np.outer(hs, hs) / (s @ hs)

    def state(self) -> dict[str, Any]:
        return {
            "hessian": self.hessian,
            "last_step": self.last_step,
            "last_forces": self.last_forces,
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        return cls(**state)


def _bounded(step: Floats) -> Floats:
    longest = np.linalg.norm(step, axis=1).max()
    return step * (_MAX_STEP_ANG / longest) if longest > _MAX_STEP_ANG else step


OPTIMIZERS: dict[str, type[Fire] | type[Bfgs]] = {"fire": Fire, "bfgs": Bfgs}
