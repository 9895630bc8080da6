"""Ions and how likely one takes another's place, from pymatgen's table.

Source: Hautier, Fischer, Ehrlacher, Jain & Ceder, Inorg. Chem. 50, 656 (2011),
doi 10.1021/ic102031h: the weights lambda of a model fitted to the ICSD.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stargen_structures.prototypes import pymatgen_folder

Floats = NDArray[np.float64]

_NEVER_SEEN = -5.0
"""Weight of a pair that the table does not have (`SubstitutionProbability`'s alpha)."""
_DEUTERIUM = "D1+"
_ION = re.compile(r"([A-Z][a-z]?)(\d*)([+-])")


@dataclass(frozen=True)
class SpeciesTable:
    """The ions of the model.

    Parameters
    ----------
    names : ``Na1+``, ... in alphabetical order
    symbols, charges : (n_species,)
    conditional : (n_species, n_species) [i, j] is the probability of ion i in place of ion j
    frequency : (n_species,) how common each ion is in the model, unnormalised
    """

    names: tuple[str, ...]
    symbols: NDArray[np.str_]
    charges: NDArray[np.intp]
    conditional: Floats
    frequency: Floats


def load_species() -> SpeciesTable:
    """Read the table, without the second that pymatgen's class takes over the same sums.

    Raises
    ------
    FileNotFoundError : if the installed pymatgen keeps it elsewhere
    """
    file = pymatgen_folder("pymatgen.core") / "structure_prediction" / "data" / "lambda.json"
    rows = json.loads(file.read_text(encoding="utf-8"))
    rows = [row for row in rows if _DEUTERIUM not in row]
    names = tuple(sorted({name for row in rows for name in row[:2]}))
    index = {name: i for i, name in enumerate(names)}
    weights = np.full((len(names), len(names)), _NEVER_SEEN)
    for one, other, weight in rows:
        weights[index[one], index[other]] = weights[index[other], index[one]] = float(weight)
    joint = np.exp(weights)
    frequency = joint.sum(axis=0)
    ions = [_ion(name) for name in names]
    return SpeciesTable(
        names=names,
        symbols=np.array([symbol for symbol, _ in ions]),
        charges=np.array([charge for _, charge in ions]),
        conditional=joint / frequency,
        frequency=frequency,
    )


def _ion(name: str) -> tuple[str, int]:
    match = _ION.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not an ion")
    return match[1], int(match[2] or 1) * (1 if match[3] == "+" else -1)
