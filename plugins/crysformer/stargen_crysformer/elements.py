"""The k-hot description of an element: nine properties, each a mark in one of its bins.

Source: Chen et al. (2021), CrystalNet, after CGCNN; elements.csv beside this file holds the
properties (pymatgen's periodic table; covalent radii of Cordero et al. 2008 as in ASE).
"""

from __future__ import annotations

import csv
import math
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from stargen.elements import ATOMIC_NUMBERS, SYMBOLS

GROUPS, PERIODS, VALENCES = 19, 7, 12
BINS = 10
BLOCKS = "spdf"
SIZE = GROUPS + PERIODS + BINS + BINS + VALENCES + BINS + BINS + len(BLOCKS) + BINS


@cache
def khot_table() -> NDArray[np.float32]:
    """(119, 92) float32: row Z describes the element of atomic number Z; row 0 is empty.

    An unknown property leaves its bins empty, and elements beyond 103 all of them.
    """
    table = np.zeros((len(SYMBOLS), SIZE), dtype=np.float32)
    text = files("stargen_crysformer").joinpath("elements.csv").read_text("utf-8")
    for row in csv.DictReader(text.splitlines()):
        table[ATOMIC_NUMBERS[row["symbol"]], _marks(row)] = 1.0
    return table


def _marks(row: dict[str, str]) -> list[int]:
    number, group, period = ATOMIC_NUMBERS[row["symbol"]], int(row["group"]), int(row["period"])
    block = row["block"]
    marks: list[int | None] = [
        group,
        period - 1,
        _bin(row["electronegativity"], 0.5, 4.0),
        _bin(row["covalent_radius_pm"], 25.0, 250.0),
        min(max(_valence(number, group, block), 1), VALENCES) - 1,
        _bin(row["first_ionisation_ev"], 1.3, 3.3, logarithm=True),
        _bin(row["electron_affinity_ev"], -3.0, 3.7),
        BLOCKS.index(block),
        _bin(row["molar_volume_cm3"], 1.5, 4.3, logarithm=True),
    ]
    widths = (GROUPS, PERIODS, BINS, BINS, VALENCES, BINS, BINS, len(BLOCKS), BINS)
    offsets = np.cumsum([0, *widths[:-1]]).tolist()
    return [at + mark for at, mark in zip(offsets, marks, strict=True) if mark is not None]


def _valence(number: int, group: int, block: str) -> int:
    """Electrons beyond the last closed shell, those of a filled d or f shell not counted."""
    if block == "f":
        return number - (54 if number < 86 else 86)
    if block == "p":
        return group - 10 if group > 2 else 2
    return group


def _bin(text: str, low: float, high: float, *, logarithm: bool = False) -> int | None:
    if not text:
        return None
    value = math.log(float(text)) if logarithm else float(text)
    at = math.floor((value - low) / (high - low) * BINS)
    return min(max(at, 0), BINS - 1)
