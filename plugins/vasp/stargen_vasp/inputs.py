"""The input files of one step, written by pymatgen."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargen_dft import cells
from stargen_dft.starts import moments

from stargen.crystal import Candidate
from stargen.model import Resources
from stargen_vasp import potcars, presets
from stargen_vasp.info import VaspParams

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.io.vasp.inputs import Kpoints

_ATOMS_PER_RANK = 4
_SMALL_CELL = 5


def tags_of(params: VaspParams, structure: Structure, step: Mapping[str, Any]) -> presets.Tags:
    """The preset, the step and the user's own tags, the later ones over the earlier."""
    numbers = [int(z) for z in structure.atomic_numbers]
    own = {key.upper(): value for key, value in params.incar.items()}
    tags = {**presets.base_tags(params.preset, numbers), **step, **own}
    if tags.get("ISPIN") == 2 and "MAGMOM" not in tags:
        tags["MAGMOM"] = moments(numbers)
    if tags.get("METAGGA") and "GGA" in own:
        del tags["METAGGA"]
    if int(tags["NSW"]) == 0:
        tags.pop("EDIFFG", None)
    return tags


def parallel_tags(resources: Resources, n_kpoints: int, n_atoms: int) -> presets.Tags:
    """KPAR and NCORE for what was granted.

    K-points are divided as far as every group keeps a rank for each few atoms; NCORE lies near the
    root of a group's ranks. With GPUs each k-point group has one, and NCORE must be 1.
    """
    if resources.gpus >= 1:
        return {"KPAR": _divisor(int(resources.gpus), n_kpoints), "NCORE": 1}
    cores = max(1, resources.cores)
    least = min(cores, ceil(n_atoms / _ATOMS_PER_RANK))
    kpar = _divisor(cores, min(n_kpoints, cores // least))
    ranks = cores // kpar
    small = n_atoms < _SMALL_CELL
    return {"KPAR": kpar, "NCORE": 1 if small else _divisor(ranks, round(sqrt(ranks)))}


def start_tags(folder: Path, *, meta: bool, fixed_density: bool, same_mesh: bool) -> presets.Tags:
    """How to begin with what the step before left: orbitals, density, or nothing.

    A meta-GGA's Hamiltonian needs the kinetic energy density as well, which CHGCAR lacks: for it
    the density is a start and never fixed.
    """
    has_density, has_orbitals = (_is_there(folder / name) for name in ("CHGCAR", "WAVECAR"))
    if fixed_density and has_density and not meta:
        return {"ISTART": 0, "ICHARG": 11}
    if has_orbitals and same_mesh:
        return {"ISTART": 1, "ICHARG": 1 if has_density else 0}
    return {"ISTART": 0, "ICHARG": 1 if has_density else 2}


def mesh_kpoints(mesh: tuple[int, int, int]) -> Kpoints:
    """Gamma-centred, and written out, so that a correction can see and change it."""
    from pymatgen.io.vasp.inputs import Kpoints

    return Kpoints.gamma_automatic(mesh)


def path_kpoints(
    structure: Structure, path: cells.Path, mesh: tuple[int, int, int] | None, symprec_ang: float
) -> Kpoints:
    """The path as listed points; behind a weighted mesh, the path has weight 0.

    Parameters
    ----------
    mesh : what the density comes from in the same run; None where it is fixed
    """
    from pymatgen.io.vasp.inputs import Kpoints

    points = [] if mesh is None else cells.irreducible(structure, mesh, symprec_ang)
    labels: list[str] = [""] * len(points) + [""] * len(path.points)
    for index, name in path.labels.items():
        labels[len(points) + index] = name
    weight = 1 if mesh is None else 0
    return Kpoints(
        comment="path" if mesh is None else "mesh, then path with weight 0",
        num_kpts=len(points) + len(path.points),
        style=Kpoints.supported_modes.Reciprocal,
        kpts=[tuple(point) for point, _ in points] + [tuple(point) for point in path.points],
        kpts_weights=[w for _, w in points] + [weight] * len(path.points),
        labels=[label.replace("Γ", "GAMMA").replace("Σ", "SIGMA") for label in labels],
    )


def write(
    folder: Path,
    candidate: Candidate,
    structure: Structure,
    tags: Mapping[str, Any],
    kpoints: Kpoints,
    params: VaspParams,
) -> None:
    """All four files.

    Raises
    ------
    ValueError : a POTCAR that is missing or cannot be read
    """
    from pymatgen.io.vasp.inputs import Incar, Poscar

    poscar = Poscar(structure, comment=f"{candidate.candidate_id} {candidate.crystal.formula}")
    potcar = potcars.build(params, poscar.site_symbols)
    poscar.write_file(str(folder / "POSCAR"), significant_figures=16)
    Incar(dict(tags)).write_file(str(folder / "INCAR"))
    kpoints.write_file(str(folder / "KPOINTS"))
    potcar.write_file(str(folder / "POTCAR"))


def _divisor(of: int, most: int) -> int:
    """The largest divisor that is not above `most`."""
    return next(n for n in range(max(1, min(of, most)), 0, -1) if of % n == 0)


def _is_there(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
