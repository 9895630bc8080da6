"""Oxidation states by smact, by the network's classes, and whether they can balance."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stargen.elements import SYMBOLS
from stargen_diffusion.config import N_TYPES

CONSENSUS = "icsd24-consensus3"
"""What smact takes by default, and `filters.charge` with it."""

_LOOKUPS = {
    "icsd24": "lookup_element_oxidation_states_icsd24",
    "icsd16": "lookup_element_oxidation_states_icsd",
    "smact14": "lookup_element_oxidation_states",
    "wiki": "lookup_element_oxidation_states_wiki",
}


def oxidation_states(name: str) -> list[tuple[int, ...]]:
    """States of each class; empty for elements without any."""
    if name == CONSENSUS:
        from smact.utils.oxidation import ICSD24OxStatesFilter

        table = ICSD24OxStatesFilter().filter(consensus=3)
        found = zip(table["element"], table["oxidation_state"], strict=True)
        known = {
            str(symbol): tuple(int(q) for q in str(states).split()) for symbol, states in found
        }
        return [known.get(SYMBOLS[c + 1], ()) for c in range(N_TYPES)]
    from smact import data_loader

    lookup: Any = getattr(data_loader, _LOOKUPS[name])
    return [tuple(lookup(SYMBOLS[c + 1]) or ()) for c in range(N_TYPES)]


def electronegativities() -> NDArray[np.float64]:
    """Pauling's, NaN where there is none."""
    from smact import data_loader

    rows = (data_loader.lookup_element_data(SYMBOLS[c + 1]) for c in range(N_TYPES))
    values = ((row or {}).get("el_neg") for row in rows)
    return np.array([np.nan if value is None else float(value) for value in values])


def charged_elements(name: str = "icsd24") -> NDArray[np.bool_]:
    """Elements that have an oxidation state other than 0."""
    return np.array([any(states) for states in oxidation_states(name)])


class Balance:
    """The rule of `filters.charge` by its defaults: an element, an alloy, or an ionic compound.

    Ionic: one state for each element, the sum zero, each cation less electronegative than each
    anion. Sums that can be reached are bits of an integer; anions come behind a cut in the order of
    electronegativity.
    """

    def __init__(self, name: str = CONSENSUS) -> None:
        from smact import metals

        self._states = oxidation_states(name)
        self._chi = electronegativities().tolist()
        self._metals = frozenset(c for c in range(N_TYPES) if SYMBOLS[c + 1] in metals)
        self._known = lru_cache(100_000)(self._holds)

    def __call__(self, classes: NDArray[np.int64]) -> bool:
        """Whether a crystal of these classes passes."""
        found, counts = np.unique(classes, return_counts=True)
        counts //= np.gcd.reduce(counts)
        return self._known(tuple(found.tolist()), tuple(counts.tolist()))

    def _holds(self, classes: tuple[int, ...], amounts: tuple[int, ...]) -> bool:
        if len(classes) == 1 or self._metals.issuperset(classes):
            return True
        if any(not self._states[c] or np.isnan(self._chi[c]) for c in classes):
            return False
        order = sorted(zip(classes, amounts, strict=True), key=lambda each: self._chi[each[0]])
        cations, anions = self._sums(order, 1), self._sums(order[::-1], -1)[::-1]
        return any(
            cations[cut] & anions[cut]
            for cut in range(1, len(order))
            if self._chi[order[cut - 1][0]] < self._chi[order[cut][0]]
        )

    def _sums(self, order: list[tuple[int, int]], sign: int) -> list[int]:
        """Charges that the first 0, 1, 2, ... elements can have, all of one sign."""
        reached = [1]
        for c, amount in order:
            sums = 0
            for q in self._states[c]:
                if sign * q >= 0:
                    sums |= reached[-1] << sign * q * amount
            reached.append(sums)
        return reached
