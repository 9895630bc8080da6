"""What is learnt: the one thing that differs between trainings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class Task(Protocol):
    """A network, its data and its loss. All chance comes from the generators that are handed in."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Plain values that name network and data; where any one differs it is another training."""
        ...

    @property
    def size(self) -> int:
        """How many examples there are to learn from."""
        ...

    @property
    def objective(self) -> str:
        """Which of the values of `validate` is to become small."""
        ...

    def model(self) -> nn.Module:
        """The network before its first step; torch is seeded when this is called."""
        ...

    def batch(self, indices: NDArray[np.int64], rng: np.random.Generator) -> Any:
        """Examples by number, on the CPU; what has a method ``to(device)`` is moved by the loop."""
        ...

    def loss(self, model: nn.Module, batch: Any) -> tuple[torch.Tensor, Mapping[str, float]]:
        """The mean over the batch, and what else is worth a column. Torch is seeded by step."""
        ...

    def validate(self, model: nn.Module, device: torch.device) -> Mapping[str, float]:
        """How good the network is; called without gradients, in one process."""
        ...
