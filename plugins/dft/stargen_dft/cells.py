"""Cells and k-points: the standard primitive cell, meshes, and paths through the Brillouin zone."""

from __future__ import annotations

import warnings
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stargen.crystal import Crystal

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core import Structure

_SAME_CELL = 1e-3
_WITHOUT_SYMMETRY = 1e-8


class Path(NamedTuple):
    """K-points between high-symmetry points.

    Parameters
    ----------
    points : (n, 3) fractional
    labels : {index of the point: its name}
    starts : indices at which a branch begins
    """

    points: NDArray[np.float64]
    labels: dict[int, str]
    starts: list[int]

    def noted(self) -> dict[str, Any]:
        """What a result needs to know of it, as JSON can hold it."""
        return {"labels": self.labels, "starts": self.starts, "n_points": len(self.points)}


def standard_cell(crystal: Crystal, symprec_ang: float, *, standardize: bool) -> Structure:
    """The structure as VASP is given it: sites of one element together.

    It is turned into the standard primitive cell (Setyawan & Curtarolo 2010) unless it is one
    already, so that what an earlier step left still fits.
    """
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    structure = crystal.to_pymatgen()
    if standardize:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            analyzer = SpacegroupAnalyzer(structure, symprec=symprec_ang)
            standard = analyzer.get_primitive_standard_structure(international_monoclinic=False)
        if not same_cell(structure, standard):
            structure = standard
    return structure.get_sorted_structure()


def same_cell(one: Structure, other: Structure) -> bool:
    """Whether files of one fit the other: equal lattice vectors and number of atoms."""
    return len(one) == len(other) and bool(
        np.allclose(one.lattice.matrix, other.lattice.matrix, atol=_SAME_CELL)
    )


def mesh_of(structure: Structure, kspacing: float) -> tuple[int, int, int]:
    """Divisions of a mesh no coarser than `kspacing` (1/Å, with 2 pi), as VASP's own KSPACING."""
    lengths = structure.lattice.reciprocal_lattice.abc
    a, b, c = (max(1, ceil(round(length / kspacing, 6))) for length in lengths)
    return a, b, c


def irreducible(
    structure: Structure, mesh: tuple[int, int, int], symprec_ang: float
) -> list[tuple[NDArray[np.float64], int]]:
    """The mesh's irreducible points with their weights, Gamma among them."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            analyzer = SpacegroupAnalyzer(structure, symprec=symprec_ang)
            found = analyzer.get_ir_reciprocal_mesh(mesh)
    except (TypeError, ValueError):
        axes = [np.arange(n) / n for n in mesh]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        return [(point, 1) for point in grid]
    return [(np.asarray(point, dtype=float), int(weight)) for point, weight in found]


def band_path(structure: Structure, line_density: int, symprec_ang: float) -> Path:
    """The path of Setyawan & Curtarolo (2010) for a standard primitive cell."""
    from pymatgen.symmetry.bandstructure import HighSymmKpath

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kpath = HighSymmKpath(structure, symprec=symprec_ang)
    reciprocal = structure.lattice.reciprocal_lattice.matrix
    special = {name: np.asarray(at, dtype=float) for name, at in kpath.kpath["kpoints"].items()}
    points: list[NDArray[np.float64]] = []
    labels: dict[int, str] = {}
    starts: list[int] = []
    for branch in kpath.kpath["path"]:
        starts.append(len(points))
        labels[len(points)] = _plain(branch[0])
        points.append(special[branch[0]])
        for one, other in pairwise(branch):
            begin, end = special[one], special[other]
            length = float(np.linalg.norm((end - begin) @ reciprocal))
            steps = max(1, ceil(length * line_density))
            points += [begin + (end - begin) * i / steps for i in range(1, steps + 1)]
            labels[len(points) - 1] = _plain(other)
    return Path(np.array(points), labels, starts)


def _plain(label: str) -> str:
    return label.replace("\\Gamma", "Γ").replace("\\Sigma", "Σ")
