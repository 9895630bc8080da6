"""The inputs as the stand-in reads them: with its own few lines, not with those that wrote them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import spglib
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ase import Atoms

_TRUE = (".T", "T")
_USUAL_SYMPREC = 1e-5


class BadInput(Exception):
    """What VASP would print before it gives up."""


@dataclass(slots=True)
class Job:
    """One run's inputs.

    Parameters
    ----------
    comment : first line of POSCAR
    atoms : in POSCAR's order
    tags : INCAR, upper-case names, texts
    kpoints, weights : (k, 3) fractional and (k,)
    listed : whether the k-points were listed one by one
    titles, valences : of the POTCARs, by species
    """

    comment: str
    atoms: Atoms
    tags: dict[str, str]
    kpoints: NDArray[np.float64]
    weights: NDArray[np.float64]
    listed: bool
    titles: list[str]
    valences: list[float]
    counts: list[int]

    def number(self, tag: str, default: float) -> float:
        """A tag's value.

        Raises
        ------
        BadInput : it is no number
        """
        text = self.tags.get(tag)
        try:
            return default if text is None else float(text.split()[0])
        except ValueError:
            raise BadInput(
                f"Error reading item {tag} from file INCAR.\n Error code was IERR= 5"
            ) from None

    def whole(self, tag: str, default: int) -> int:
        return int(self.number(tag, default))

    def flag(self, tag: str, default: bool) -> bool:
        text = self.tags.get(tag)
        return default if text is None else text.upper().startswith(_TRUE)

    @property
    def n_electrons(self) -> float:
        usual = sum(z * n for z, n in zip(self.valences, self.counts, strict=True))
        return self.number("NELECT", usual)

    @property
    def n_bands(self) -> int:
        atoms, electrons = len(self.atoms), self.n_electrons
        usual = max(int((electrons + 2) / 2) + max(atoms // 2, 3), int(0.6 * electrons))
        return self.whole("NBANDS", usual)


def read(folder: Path) -> Job:
    """All four files.

    Raises
    ------
    BadInput : one is absent or makes no sense
    """
    for name in ("INCAR", "POSCAR", "KPOINTS", "POTCAR"):
        if not (folder / name).is_file() or not (folder / name).stat().st_size:
            raise BadInput(f"ERROR: there must be a file {name} that is not empty")
    poscar = (folder / "POSCAR").read_text()
    atoms, counts = _atoms(poscar)
    titles, valences = _potcar((folder / "POTCAR").read_text())
    if len(titles) != len(counts):
        raise BadInput(
            f"ERROR: number of potentials on File POTCAR incompatible with number of species: "
            f"{len(titles)} and {len(counts)}"
        )
    if np.linalg.det(atoms.cell.array) < 0:
        raise BadInput("ERROR: the triple product of the basis vectors is negative")
    tags = _tags((folder / "INCAR").read_text())
    symprec = float(tags.get("SYMPREC", _USUAL_SYMPREC))
    kpoints, weights, listed = _kpoints((folder / "KPOINTS").read_text(), atoms, symprec)
    comment = poscar.splitlines()[0]
    return Job(comment, atoms, tags, kpoints, weights, listed, titles, valences, counts)


def _tags(text: str) -> dict[str, str]:
    tags: dict[str, str] = {}
    for line in re.split(r"[\n;]", text):
        name, equals, value = re.split(r"[#!]", line)[0].partition("=")
        if equals:
            tags[name.strip().upper()] = value.strip()
    return tags


def _atoms(text: str) -> tuple[Atoms, list[int]]:
    from ase import Atoms

    lines = text.splitlines()
    try:
        scale = float(lines[1])
        cell = scale * np.array([[float(x) for x in line.split()[:3]] for line in lines[2:5]])
        species, counts = lines[5].split(), [int(n) for n in lines[6].split()]
        direct = lines[7].strip()[:1] in "dD"
        rows = lines[8 : 8 + sum(counts)]
        positions = np.array([[float(x) for x in row.split()[:3]] for row in rows])
        symbols = [s for s, n in zip(species, counts, strict=True) for _ in range(n)]
        if direct:
            atoms = Atoms(symbols, scaled_positions=positions, cell=cell, pbc=True)
        else:
            atoms = Atoms(symbols, positions=scale * positions, cell=cell, pbc=True)
    except (ValueError, IndexError) as error:
        raise BadInput(f"ERROR: POSCAR cannot be read: {error}") from error
    return atoms, counts


def _potcar(text: str) -> tuple[list[str], list[float]]:
    titles = [line.strip() for line in re.findall(r"TITEL\s*=\s*(.*)", text)]
    valences = [float(z) for z in re.findall(r"ZVAL\s*=\s*([\d.]+)", text)]
    if not titles or len(titles) != len(valences):
        raise BadInput("ERROR: POTCAR has no header")
    return titles, valences


def _kpoints(
    text: str, atoms: Atoms, symprec: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Fractional points, weights, and whether they were listed; a mesh is reduced by symmetry."""
    lines = text.splitlines()
    try:
        count, mode = int(lines[1].split()[0]), lines[2].strip()[:1].upper()
        if count:
            rows = np.array([[float(x) for x in line.split()[:4]] for line in lines[3 : 3 + count]])
            return rows[:, :3], rows[:, 3], True
        divisions = [int(n) for n in lines[3].split()[:3]]
    except (ValueError, IndexError) as error:
        raise BadInput(f"ERROR: KPOINTS cannot be read: {error}") from error
    shift = [0 if mode == "G" else 1 - n % 2 for n in divisions]
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    mapping, grid = spglib.get_ir_reciprocal_mesh(divisions, cell, shift, symprec=symprec)
    chosen, weights = np.unique(mapping, return_counts=True)
    points = (grid[chosen] + np.array(shift) / 2) / divisions
    return points, weights.astype(float), False
