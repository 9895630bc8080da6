"""`diffusion.compose`: charge-neutral compositions that are wanted and lacking.

The number of elements and of atoms and the elements themselves are drawn from weights; a neutral
choice of amounts is then drawn from all that there are. With `balance` the weights are what the
database lacks of the wanted shares, so proposals go where it is thin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stargen import Candidate, Context, Crystal, Drop
from stargen.elements import ATOMIC_NUMBERS, SYMBOLS
from stargen.errors import UserError, UserTaskError
from stargen_diffusion.config import N_TYPES
from stargen_diffusion.existing import Existing, read_existing
from stargen_diffusion.info import ComposeParams
from stargen_diffusion.oxidation import electronegativities, oxidation_states

_TRIES = 400
_AS_WANTED = 0.05


class Compose:
    """Stillborn: no neutral composition. The crystal of a candidate is a placeholder: a cubic cell
    of plausible volume with the atoms on a grid, for `diffusion.predict` to replace.
    """

    def open(self, context: Context) -> None:
        params: ComposeParams = context.params
        existing = Existing()
        if params.existing is not None:
            try:
                existing = read_existing(params.existing, Path(context.input_file(".")))
            except UserError as error:
                raise UserTaskError(str(error)) from error
        self._states = oxidation_states(params.states)
        self._chi = electronegativities()
        self._choice = Choice(params, existing, _elements(params, context, self._states))

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate | Drop]:
        params: ComposeParams = context.params
        required = [ATOMIC_NUMBERS[symbol] - 1 for symbol in context.chemistry.require]
        limit = context.chemistry.max_elements or N_TYPES
        for ordinal in context.ordinals:
            found = self._propose(context.rng(ordinal), required, limit)
            if found is None:
                detail = f"after {_TRIES} draws of elements and sizes"
                yield context.stillborn(ordinal, "no neutral composition", detail)
            else:
                yield context.birth(ordinal, placeholder(found, params.volume_per_atom_ang3))

    def close(self) -> None:
        """The tables go with the process."""

    def _propose(
        self, rng: np.random.Generator, required: list[int], limit: int
    ) -> dict[int, int] | None:
        """{class: atoms}."""
        for _ in range(_TRIES):
            drawn = self._choice.draw(rng, required, limit)
            if drawn is None:
                continue
            elements, n_atoms = drawn
            options = neutral_amounts(
                [self._states[e] for e in elements], self._chi[elements], n_atoms
            )
            if options:
                amounts = options[int(rng.integers(len(options)))]
                return dict(zip(elements, amounts, strict=True))
        return None


class Choice:
    """Weights of sizes and elements, joined with what there is.

    Parameters
    ----------
    elements : classes that may occur
    """

    def __init__(self, params: ComposeParams, existing: Existing, elements: list[int]) -> None:
        self._elements = np.array(elements)
        wanted = {e: params.elements.get(SYMBOLS[e + 1], 0.0) for e in elements}
        if not params.elements:
            wanted = dict.fromkeys(elements, 1.0)
        by_number = {int(k): v for k, v in params.n_elements.items()}
        by_size = {int(k): v for k, v in params.n_atoms.items()}
        self._numbers, self._sizes = list(by_number), list(by_size)
        count, balance = params.count, params.balance
        self._of_number = _weights(by_number, existing.n_elements, count, balance)
        self._of_size = _weights(by_size, existing.n_atoms, count, balance)
        occurrences = count * float(self._of_number @ self._numbers)
        self._of_element = _weights(wanted, existing.elements, occurrences, balance)

    def draw(
        self, rng: np.random.Generator, required: list[int], limit: int
    ) -> tuple[list[int], int] | None:
        """Elements and number of atoms; None where they do not go together."""
        number = self._numbers[_pick(rng, self._of_number)]
        n_atoms = self._sizes[_pick(rng, self._of_size)]
        number = min(max(number, len(required)), limit)
        weights = np.where(np.isin(self._elements, required), 0.0, self._of_element)
        if number > n_atoms or np.count_nonzero(weights) < number - len(required):
            return None
        free = number - len(required)
        chosen = rng.choice(self._elements, free, replace=False, p=weights / weights.sum())
        return sorted([*required, *chosen.tolist()]), n_atoms


def neutral_amounts(
    states: Sequence[tuple[int, ...]], chi: NDArray[np.float64], n_atoms: int
) -> list[tuple[int, ...]]:
    """All ways to divide `n_atoms` among the elements that some choice of states makes neutral.

    One state for each element, and every cation less electronegative than every anion (Pauling).
    """
    amounts = [a for a in _divisions(n_atoms, len(states))]
    table = np.array(amounts).reshape(len(amounts), len(states))
    good = np.zeros(len(amounts), dtype=bool)
    for charges in product(*(tuple(q for q in s if q) for s in states)):
        q = np.array(charges)
        if (q > 0).any() and (q < 0).any() and chi[q > 0].max() < chi[q < 0].min():
            good |= table @ q == 0
    return [amounts[at] for at in np.flatnonzero(good)]


def placeholder(amounts: Mapping[int, int], volume_per_atom_ang3: float) -> Crystal:
    """Atoms on a grid, elements in order of atomic number."""
    numbers = [e + 1 for e in sorted(amounts) for _ in range(amounts[e])]
    edge = int(np.ceil(len(numbers) ** (1 / 3)))
    grid = np.argwhere(np.ones((edge, edge, edge)))[: len(numbers)] / edge
    length = (volume_per_atom_ang3 * len(numbers)) ** (1 / 3)
    return Crystal.of(np.eye(3) * length, grid, numbers)


def _divisions(n: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Positive integers that add up to n, in every order."""
    if parts == 1:
        yield (n,)
        return
    for first in range(1, n - parts + 2):
        for rest in _divisions(n - first, parts - 1):
            yield (first, *rest)


def _weights(
    wanted: Mapping[int, float], have: Counter[int], more: float, balance: float
) -> NDArray[np.float64]:
    """Shares of what is to be made.

    As far as `balance` says they are what lacks: with `more` of them added to what there is, all
    are there in the wanted shares, or as near to them as adding alone can get. A little of all that
    is wanted stays in the game: what lacks may not make a neutral compound by itself.
    """
    share = np.array([*wanted.values()], dtype=float)
    share /= share.sum()
    there = np.array([have[key] for key in wanted], dtype=float)
    lacking = np.clip(share * (there.sum() + more) - there, 0.0, None)
    balance *= 1 - _AS_WANTED
    return (1 - balance) * share + balance * lacking / lacking.sum()


def _pick(rng: np.random.Generator, weights: NDArray[np.float64]) -> int:
    return int(rng.choice(len(weights), p=weights))


def _elements(
    params: ComposeParams, context: Context, states: Sequence[tuple[int, ...]]
) -> list[int]:
    """Classes that the chemistry admits, that are wanted, and that can be charged."""
    found = [
        e
        for e in range(N_TYPES)
        if any(states[e])
        and context.chemistry.admits(SYMBOLS[e + 1])
        and (not params.elements or params.elements.get(SYMBOLS[e + 1], 0) > 0)
    ]
    needed = {ATOMIC_NUMBERS[s] - 1 for s in context.chemistry.require}
    if missing := sorted(e for e in needed if not any(states[e])):
        names = ", ".join(SYMBOLS[e + 1] for e in missing)
        raise UserTaskError(f"{names} has no oxidation state in {params.states}")
    if len(found) + len(needed) < 2:
        raise UserTaskError("fewer than two elements can be charged and are admitted and wanted")
    return sorted({*found, *needed})
