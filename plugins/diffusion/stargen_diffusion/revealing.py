"""Types appear: hidden atoms turn into elements, within what the chemistry allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stargen.elements import ATOMIC_NUMBERS, SYMBOLS
from stargen.model import Chemistry
from stargen_diffusion.config import N_TYPES


@dataclass(frozen=True, slots=True)
class Palette:
    """Which elements a crystal may and must hold.

    Parameters
    ----------
    allowed : (N_TYPES,) bool
    required : classes that are there from the start
    max_elements : at most so many different ones
    """

    allowed: NDArray[np.bool_]
    required: tuple[int, ...] = ()
    max_elements: int = N_TYPES

    @classmethod
    def of(cls, chemistry: Chemistry, possible: NDArray[np.bool_]) -> Palette:
        """The campaign's, among the `possible` elements."""
        admitted = np.array([chemistry.admits(SYMBOLS[c + 1]) for c in range(N_TYPES)])
        required = tuple(sorted(ATOMIC_NUMBERS[symbol] - 1 for symbol in chemistry.require))
        return cls(admitted & possible, required, chemistry.max_elements or N_TYPES)

    def start(self, n_atoms: int, hidden: int) -> NDArray[np.int64]:
        """Hidden atoms, but for one of each required element."""
        types = np.full(n_atoms, hidden, dtype=np.int64)
        given = self.required[:n_atoms]
        types[: len(given)] = given
        return types

    def admits(self, classes: NDArray[np.int64]) -> bool:
        """Whether a finished crystal is as asked for."""
        found = np.unique(classes)
        return bool(
            self.allowed[found].all()
            and set(self.required) <= set(found.tolist())
            and len(found) <= self.max_elements
        )


def reveal(
    types: Tensor, logits: Tensor, share: float, palettes: Sequence[Palette], uniform: Tensor
) -> Tensor:
    """Each hidden atom appears with probability `share`, as what the logits say.

    One atom after the other within a crystal, for the sake of `max_elements`.

    Parameters
    ----------
    types : (B, n), `N_TYPES` where hidden
    logits : (B, n, N_TYPES)
    uniform : (B, 2, n) in [0, 1): whether, and as what
    """
    chosen = (types == N_TYPES) & (uniform[:, 0] < share)
    result = types.clone()
    for b, i in chosen.nonzero().tolist():
        palette = palettes[b]
        allowed = torch.from_numpy(palette.allowed)
        there = result[b].unique()
        there = there[there < N_TYPES]
        if len(there) >= palette.max_elements:
            allowed = torch.zeros(N_TYPES, dtype=torch.bool).index_fill_(0, there, True)
        odds = torch.softmax(logits[b, i].double().masked_fill(~allowed, -torch.inf), 0)
        place = torch.searchsorted(odds.cumsum(0), uniform[b, 1, i].double() * odds.sum())
        result[b, i] = min(int(place), int(allowed.nonzero()[-1]))
    return result
