"""Types appear: hidden atoms turn into elements, within what the chemistry allows.

With a rule for compositions (charge balance), the elements are drawn from the network's
probabilities *given that* the crystal's composition will pass: all hidden atoms are drawn together,
again and again until the rule holds, and those whose turn it is appear as drawn. The fewer are
hidden, the more it decides; with the last atom the composition is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stargen.elements import ATOMIC_NUMBERS, SYMBOLS
from stargen.model import Chemistry
from stargen_diffusion.config import N_TYPES

Rule = Callable[[NDArray[np.int64]], bool]

_DRAWS = 200
"""Of all hidden atoms, before the rule is let go for this step."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Which elements a crystal may and must hold.

    Parameters
    ----------
    allowed : (N_TYPES,) bool
    required : classes that are there from the start
    max_elements : at most so many different ones
    rule : what a finished composition should fulfil, if anything
    """

    allowed: NDArray[np.bool_]
    required: tuple[int, ...] = ()
    max_elements: int = N_TYPES
    rule: Rule | None = None

    @classmethod
    def of(
        cls, chemistry: Chemistry, possible: NDArray[np.bool_], rule: Rule | None = None
    ) -> Palette:
        """The campaign's, among the `possible` elements."""
        admitted = np.array([chemistry.admits(SYMBOLS[c + 1]) for c in range(N_TYPES)])
        required = tuple(sorted(ATOMIC_NUMBERS[symbol] - 1 for symbol in chemistry.require))
        return cls(admitted & possible, required, chemistry.max_elements or N_TYPES, rule)

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

    Parameters
    ----------
    types : (B, n), `N_TYPES` where hidden
    logits : (B, n, N_TYPES)
    uniform : (B, 2, n) in [0, 1): whether, and as what
    """
    hidden = types == N_TYPES
    chosen = hidden & (uniform[:, 0] < share)
    result = types.numpy().copy()
    for b in chosen.any(1).nonzero()[:, 0].tolist():
        of, which = hidden[b].numpy(), chosen[b].numpy()
        admitted = torch.from_numpy(palettes[b].allowed)
        told = logits[b].double().nan_to_num(0.0)
        logs = told.masked_fill(~admitted, -torch.inf).log_softmax(-1).numpy()
        lot = uniform[b, 1].numpy()
        found = _ruled(result[b], logs, of, palettes[b], lot)
        if found is None:
            found = _one_by_one(result[b], logs, which, palettes[b], lot)
        result[b, which] = found[which]
    return torch.from_numpy(result)


def _ruled(
    types: NDArray[np.int64],
    logs: NDArray[np.float64],
    hidden: NDArray[np.bool_],
    palette: Palette,
    lot: NDArray[np.float32],
) -> NDArray[np.int64] | None:
    """The first of some draws of all hidden atoms that the rule admits."""
    if palette.rule is None:
        return None
    rng = np.random.default_rng(lot.view(np.uint32))
    at = np.flatnonzero(hidden)
    drawn = np.array([_picked(logs[i], rng.random(_DRAWS)) for i in at])
    whole = types.copy()
    for each in drawn.T:
        whole[at] = each
        if palette.rule(whole) and palette.admits(whole):
            return whole
    return None


def _one_by_one(
    types: NDArray[np.int64],
    logs: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    palette: Palette,
    lot: NDArray[np.float32],
) -> NDArray[np.int64]:
    """One atom after the other, for the sake of `max_elements`."""
    result = types.copy()
    for i in np.flatnonzero(chosen):
        there = np.unique(result[result < N_TYPES])
        each = logs[i]
        if len(there) >= palette.max_elements:
            each = np.full(N_TYPES, -np.inf)
            each[there] = logs[i, there]
        result[i] = _picked(each, lot[i : i + 1])[0]
    return result


def _picked(logs: NDArray[np.float64], at: NDArray[np.floating]) -> NDArray[np.int64]:
    """Classes where the cumulated probabilities pass `at`, in [0, 1)."""
    total = np.exp(logs - logs.max()).cumsum()
    last = int(np.flatnonzero(logs > -np.inf)[-1])
    return np.minimum(np.searchsorted(total, at * total[-1], side="right"), last)
