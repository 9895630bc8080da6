"""The AFLOW prototypes that pymatgen ships, read without importing pymatgen (3 s).

Source: Mehl et al., Comput. Mater. Sci. 136, S1 (2017), doi 10.1016/j.commatsci.2017.01.017.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stargen.crystal import Crystal
from stargen.elements import ATOMIC_NUMBERS, SYMBOLS

_FILE = "aflow_prototypes.json.gz"


@dataclass(frozen=True)
class Prototype:
    """A crystal structure with its names.

    Parameters
    ----------
    label : AFLOW's, e.g. ``AB_cF8_225_a_b``
    names : all that it may be called by, in lower case
    """

    label: str
    names: frozenset[str]
    crystal: Crystal

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Symbols in order of atomic number."""
        return tuple(SYMBOLS[z] for z in np.unique(self.crystal.numbers))

    @cached_property
    def amounts(self) -> NDArray[np.intp]:
        """(n_elements,) atoms of each of `elements`."""
        return np.unique(self.crystal.numbers, return_counts=True)[1]

    @cached_property
    def kinds(self) -> NDArray[np.intp]:
        """(n_atoms,) which of `elements` each atom is."""
        return np.unique(self.crystal.numbers, return_inverse=True)[1]


def load_prototypes() -> list[Prototype]:
    """All prototypes, in the order of the file.

    Raises
    ------
    FileNotFoundError : if the installed pymatgen keeps them elsewhere
    """
    folder = pymatgen_folder("pymatgen.analysis.prototypes")
    with gzip.open(folder / _FILE, "rt", encoding="utf-8") as file:
        return [_prototype(entry) for entry in json.load(file)]


def pymatgen_folder(package: str) -> Path:
    """Where a package of pymatgen lies; only the packages above it are imported.

    Raises
    ------
    FileNotFoundError : if there is no such package
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{package} is not installed")
    return Path(spec.origin).parent


def select_prototypes(
    prototypes: Sequence[Prototype], wanted: Iterable[str], max_atoms: int
) -> list[Prototype]:
    """Those with at most `max_atoms` that bear one of the wanted names; all if none is wanted.

    Raises
    ------
    ValueError : if a name is unknown (the nearest one is suggested), or nothing is left
    """
    names = {name.lower() for name in wanted}
    known = frozenset[str]().union(*(p.names for p in prototypes))
    for name in sorted(names - known):
        near = get_close_matches(name, known, n=1)
        raise ValueError(
            f"there is no prototype {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        )
    chosen = [p for p in prototypes if p.crystal.n_atoms <= max_atoms]
    chosen = [p for p in chosen if not names or names & p.names]
    if not chosen:
        raise ValueError(f"none of these prototypes has at most {max_atoms} atoms")
    return chosen


def _prototype(entry: dict[str, Any]) -> Prototype:
    structure, tags = entry["snl"], entry["tags"]
    sites = structure["sites"]
    crystal = Crystal.of(
        structure["lattice"]["matrix"],
        [site["abc"] for site in sites],
        [ATOMIC_NUMBERS[site["species"][0]["element"]] for site in sites],
    )
    minerals = str(tags["mineral"]).split(",")
    names = {tags["aflow"], tags["pearson"], tags["strukturbericht"], *minerals}
    return Prototype(
        tags["aflow"], frozenset(n.strip().lower() for n in names) - {"", "none"}, crystal
    )
