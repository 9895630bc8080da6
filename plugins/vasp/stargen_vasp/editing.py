"""Changing a run's inputs for another try, with every change on record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargen.crystal import Scalar
from stargen_vasp.outputs import OUTPUTS
from stargen_vasp.run import SOFT_STOP
from stargen_vasp.xmlsteps import last_structure

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.io.vasp.inputs import Incar, Kpoints

_HARMLESS = frozenset(
    {"ALGO", "IALGO", "AMIN", "AMIX", "AMIX_MAG", "BMIX", "BMIX_MAG", "EDIFF", "IBRION", "ICHARG"}
    | {"IMIX", "INIWAV", "ISEARCH", "ISTART", "ISYM", "KPAR", "LPLANE", "LSCALAPACK", "NBANDS"}
    | {"NCORE", "NELM", "NELMDL", "NELMIN", "NPAR", "NSIM", "NSW", "POTIM", "SYMPREC", "TIME"}
    | {"WAVECAR", "CHGCAR", "POSCAR", "axes"}
)
"""What decides how a result is reached, or how sharply, but not which. EDIFF is only ever made
smaller, POSCAR only follows the run's own path, and exchanged axes span the same crystal."""

_LEAST_BYTES = 1


class Inputs:
    """The inputs in `folder`: read, changed in memory, written only by `write`.

    `changes`: {what: (old, new)} so far.
    """

    def __init__(self, folder: Path) -> None:
        from pymatgen.io.vasp.inputs import Incar

        self.folder = folder
        self.incar: Incar = Incar.from_file(str(folder / "INCAR"))
        self.changes: dict[str, tuple[Scalar, Scalar]] = {}
        self._kpoints: Kpoints | None = None
        self._structure: Structure | None = None
        self._removals: list[str] = []

    # --- what repairs ask -------------------------------------------------------------------------

    def tag(self, name: str, default: Any = None) -> Any:
        """The value of an INCAR tag."""
        return self.incar.get(name, default)

    def text(self, name: str, default: str) -> str:
        """The value of an INCAR tag that is a word, in capitals."""
        return str(self.incar.get(name, default)).upper()

    @property
    def is_meta(self) -> bool:
        return bool(self.tag("METAGGA")) or bool(self.tag("LHFCALC"))

    @property
    def n_atoms(self) -> int:
        return len(self.structure)

    @property
    def structure(self) -> Structure:
        if self._structure is None:
            from pymatgen.io.vasp.inputs import Poscar

            self._structure = Poscar.from_file(
                str(self.folder / "POSCAR"), check_for_potcar=False
            ).structure
        return self._structure

    @property
    def kpoints(self) -> Kpoints:
        if self._kpoints is None:
            from pymatgen.io.vasp.inputs import Kpoints

            self._kpoints = Kpoints.from_file(str(self.folder / "KPOINTS"))
        return self._kpoints

    # --- what repairs change ----------------------------------------------------------------------

    def set(self, **tags: Any) -> bool:
        """Give INCAR tags new values; False if they all had them already."""
        before = len(self.changes)
        for name, value in tags.items():
            old = self.incar.get(name)
            if old != value:
                self._note(name, old, value)
                self.incar[name] = value
        return len(self.changes) > before

    def unset(self, *names: str) -> bool:
        """Take INCAR tags out; False if none was there."""
        there = [name for name in names if name in self.incar]
        for name in there:
            self._note(name, self.incar.pop(name), None)
        return bool(there)

    def remove(self, *names: str) -> bool:
        """Do without WAVECAR or CHGCAR; a density that is held fixed stays."""
        fixed = int(self.tag("ICHARG", 0) or 0) >= 10
        there = [
            name
            for name in names
            if (self.folder / name).exists() and not (name == "CHGCAR" and fixed)
        ]
        for name in there:
            self._note(name, "kept", "removed")
            self._removals.append(name)
        if "WAVECAR" in there:
            self.set(ISTART=0)
        if "CHGCAR" in there:
            self.set(ICHARG=2)
        return bool(there)

    def go_on(self) -> bool:
        """Start from the last positions: CONTCAR, or where that is broken, vasprun.xml."""
        if int(self.tag("NSW", 0)) == 0:
            return False
        found = reached(self.folder)
        if found is None or len(found[0]) != len(self.structure):
            return False
        structure, source = found
        if structure == self.structure:
            return False
        self._structure = structure
        self._note("POSCAR", "start of the last run", source)
        return True

    def gamma_mesh(self) -> bool:
        """A mesh centred at Gamma; False if it is one, or none at all."""
        if self.kpoints.style.name != "Monkhorst":
            return False
        return self._mesh(self.kpoints.kpts[0])

    def denser_mesh(self) -> bool:
        """One more division along each axis, centred at Gamma."""
        if self.kpoints.style.name not in ("Monkhorst", "Gamma"):
            return False
        return self._mesh([n + 1 for n in self.kpoints.kpts[0]])

    def even_mesh(self) -> bool:
        """As many divisions along each axis as along the finest one, centred at Gamma."""
        if self.kpoints.style.name not in ("Monkhorst", "Gamma"):
            return False
        divisions = [int(n) for n in self.kpoints.kpts[0]]
        return len(set(divisions)) > 1 and self._mesh([max(divisions)] * 3)

    def strain(self, factor: float) -> None:
        """Stretch the cell: a start that is too dense for the basis."""
        self._structure = self.structure.copy()
        self._structure.scale_lattice(self._structure.volume * factor**3)
        self._note("cell", 1.0, factor)

    def swap_axes(self) -> None:
        """Exchange b and c, which turns a left-handed cell into a right-handed one."""
        from pymatgen.core import Lattice, Structure

        old = self.structure
        self._structure = Structure(
            Lattice(old.lattice.matrix[[0, 2, 1]]), old.species, old.frac_coords[:, [0, 2, 1]]
        )
        self._note("axes", "a b c", "a c b")

    # --- at the end -------------------------------------------------------------------------------

    @property
    def physics(self) -> dict[str, tuple[Scalar, Scalar]]:
        """Those changes that may move the result."""
        return {key: pair for key, pair in self.changes.items() if key not in _HARMLESS}

    def write(self) -> None:
        """Make the changes, and take the last run's outputs away."""
        from pymatgen.io.vasp.inputs import Poscar

        self.incar.write_file(str(self.folder / "INCAR"))
        if self._kpoints is not None:
            self._kpoints.write_file(str(self.folder / "KPOINTS"))
        if self._structure is not None:
            comment = (self.folder / "POSCAR").read_text(encoding="utf-8").splitlines()[0]
            Poscar(self._structure, comment=comment, sort_structure=False).write_file(
                str(self.folder / "POSCAR"), significant_figures=16
            )
        for name in self._removals:
            (self.folder / name).unlink(missing_ok=True)
        clear_outputs(self.folder)

    def _mesh(self, divisions: Any) -> bool:
        from pymatgen.io.vasp.inputs import Kpoints

        old = self.kpoints
        new = tuple(int(n) for n in divisions)
        self._kpoints = Kpoints.gamma_automatic(new)
        self._note("KPOINTS", f"{old.style.name} {_times(old.kpts[0])}", f"Gamma {_times(new)}")
        return True

    def _note(self, name: str, old: Any, new: Any) -> None:
        first = self.changes[name][0] if name in self.changes else _scalar(old)
        self.changes[name] = (first, _scalar(new))


def reached(folder: Path) -> tuple[Structure, str] | None:
    """The last positions of a run and where they were found; None if there are none."""
    from pymatgen.io.vasp.inputs import Poscar

    path = folder / "CONTCAR"
    try:
        if path.stat().st_size >= _LEAST_BYTES:
            return Poscar.from_file(str(path), check_for_potcar=False).structure, "CONTCAR"
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        pass  # half-written; the run's own record of its steps is the next best
    structure = last_structure(folder / "vasprun.xml")
    return None if structure is None else (structure, "last step of vasprun.xml")


def clear_outputs(folder: Path) -> None:
    """So that what the next run writes cannot be confused with what the last one wrote."""
    for name in (*OUTPUTS, "CONTCAR", "STOPCAR", "XDATCAR", SOFT_STOP):
        (folder / name).unlink(missing_ok=True)


def _scalar(value: Any) -> Scalar:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _times(numbers: Any) -> str:
    return "x".join(str(int(n)) for n in numbers)
