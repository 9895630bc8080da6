"""How a training goes, apart from what is learnt."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from stargen.errors import UserError


@dataclass(frozen=True, slots=True)
class Options:
    """What every training can be told.

    Parameters
    ----------
    steps : the learning rate reaches its end here
    batch : examples a step, over all processes
    learning_rate, final_learning_rate : at the top and at the end of the cosine
    warm_up : this part of the whole rises linearly
    weight_decay : of AdamW; not on biases, norms and other vectors
    clip : largest norm of the gradient
    average : decay of the exponential average of the weights
    seed : of the order of the data and of all chance
    validate_every : steps between validations
    checkpoint_every_s : seconds between checkpoints
    minutes : the schedule ends at this time at the latest
    device : torch device; "auto" takes CUDA where there is some
    """

    steps: int
    batch: int = 32
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-6
    warm_up: float = 0.03
    weight_decay: float = 1e-3
    clip: float = 1.0
    average: float = 0.999
    seed: int = 0
    validate_every: int = 500
    checkpoint_every_s: float = 60.0
    minutes: float | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "validate_every"):
            if getattr(self, name) < 1:
                raise UserError(f"must be at least 1, not {getattr(self, name)}", key=name)
        for name in ("learning_rate", "clip"):
            if getattr(self, name) <= 0:
                raise UserError(f"must be more than 0, not {getattr(self, name)}", key=name)
        if self.minutes is not None and self.minutes <= 0:
            raise UserError(f"must be more than 0, not {self.minutes}", key="minutes")
        if not 0 <= self.average < 1:
            raise UserError(f"must lie in [0, 1), not {self.average}", key="average")

    def progress(self, step: int, elapsed_s: float) -> float:
        """How far the schedule is, from 0 to 1."""
        done = step / self.steps
        if self.minutes is not None:
            done = max(done, elapsed_s / (60 * self.minutes))
        return min(done, 1.0)

    def rate_at(self, progress: float) -> float:
        """Learning rate: a linear rise, then half a cosine."""
        if progress < self.warm_up:
            return self.learning_rate * max(progress / self.warm_up, 1e-3)
        falling = (progress - self.warm_up) / (1 - self.warm_up)
        span = self.learning_rate - self.final_learning_rate
        return self.final_learning_rate + span * (1 + math.cos(math.pi * falling)) / 2

    def identity(self) -> dict[str, Any]:
        """What must be the same for a training to go on: all that its steps depend on."""
        free = ("validate_every", "checkpoint_every_s", "device", "minutes")
        return {name: value for name, value in asdict(self).items() if name not in free}
