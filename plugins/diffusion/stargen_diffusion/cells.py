"""The cell that a crystal is learnt in: Niggli-reduced, in one orientation."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

import numpy as np

from stargen import Crystal
from stargen_diffusion.lattices import canonical, lengths_and_angles

Variant = Literal["primitive", "conventional"]

_SYMPREC_ANG = 0.1


def reduced(crystal: Crystal) -> Crystal:
    """The same crystal in its Niggli cell; the number of atoms stays.

    Lengths and angles alone make the new rows, so a left-handed cell is turned inside out first:
    both are the same crystal, and no mirror image is learnt in its place.

    Raises
    ------
    ValueError : if the cell is singular or cannot be reduced
    """
    import spglib

    lattice = crystal.lattice
    if abs(np.linalg.det(lattice)) < 1e-3:
        raise ValueError("singular cell")
    with _no_advice():
        niggli = spglib.niggli_reduce(lattice)
    if niggli is None:
        raise ValueError("cell cannot be reduced")
    if np.linalg.det(niggli) < 0:
        niggli = -niggli
    coords = crystal.frac_coords @ lattice @ np.linalg.inv(niggli)
    return Crystal.of(canonical(*lengths_and_angles(niggli)), coords % 1.0, crystal.numbers)


def variants(crystal: Crystal, wanted: tuple[Variant, ...]) -> list[Crystal]:
    """The standard cells of the crystal that differ from it in size.

    Source: the augmentation that takes the paper's data from 1.14 to 2.2 million crystals.
    """
    import spglib

    cell = (crystal.lattice, crystal.frac_coords, crystal.numbers)
    sizes, found = {crystal.n_atoms}, []
    for name in wanted:
        primitive = name == "primitive"
        with _no_advice():
            standard = spglib.standardize_cell(cell, to_primitive=primitive, symprec=_SYMPREC_ANG)
        if standard is not None and len(standard[2]) not in sizes:
            sizes.add(len(standard[2]))
            found.append(Crystal.of(*standard))
    return found


@contextmanager
def _no_advice() -> Generator[None]:
    """Spglib advises, on each call, to catch errors in another way than by None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
