"""Oxidation states by smact, as arrays over the network's classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stargen.elements import SYMBOLS
from stargen_diffusion.config import N_TYPES

_LOOKUPS = {
    "icsd24": "lookup_element_oxidation_states_icsd24",
    "icsd16": "lookup_element_oxidation_states_icsd",
    "smact14": "lookup_element_oxidation_states",
    "wiki": "lookup_element_oxidation_states_wiki",
}


def oxidation_states(name: str) -> list[tuple[int, ...]]:
    """States of each class; empty for elements without any."""
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
