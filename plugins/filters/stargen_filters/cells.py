"""Symmetry and standard cells by moyopy."""

from __future__ import annotations

import logging

import moyopy
import numpy as np

from stargen.crystal import Crystal

# It warns of every cell that is not primitive, which here is no news.
logging.getLogger("moyo").setLevel(logging.ERROR)

TOOL = "moyopy"
VERSION: str = moyopy.__version__


def symmetry(crystal: Crystal, symprec_ang: float) -> moyopy.MoyoDataset | None:
    """What moyo finds, or None where it gives up (atoms within the tolerance of each other)."""
    cell = moyopy.Cell(
        crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.numbers.tolist()
    )
    try:
        return moyopy.MoyoDataset(cell, symprec=symprec_ang)
    except ValueError:
        return None


def primitive_cell(crystal: Crystal, symprec_ang: float) -> Crystal:
    """The primitive cell, refined to the symmetry found, in Niggli's basis.

    Where no symmetry is found it is the crystal's own cell in Niggli's basis.
    """
    found = symmetry(crystal, symprec_ang)
    if found is not None:
        cell = found.prim_std_cell
        crystal = Crystal.of(cell.basis, cell.positions, cell.numbers)
    basis, _ = moyopy.niggli_reduce(crystal.lattice.tolist())
    frac = crystal.frac_coords @ (crystal.lattice @ np.linalg.inv(np.array(basis)))
    return Crystal.of(basis, frac - np.floor(frac), crystal.numbers)
