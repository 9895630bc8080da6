"""Candidates to files, one each; a retry writes the same file again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from io import StringIO

from stargen.calculators.contract import Context
from stargen.crystal import Candidate
from stargen.files import make_folder, write_atomically
from stargen_structures.params import WriteParams


class Write:
    """Passes candidates on unchanged."""

    def open(self, context: Context) -> None:
        params: WriteParams = context.params
        self._folder = context.input_file(params.folder)
        self._suffix, self._text = _FORMATS[params.format]

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate]:
        for candidate in candidates:
            path = self._folder / (candidate.candidate_id + self._suffix)
            make_folder(path.parent)
            write_atomically(path, self._text(candidate).encode())
            yield candidate

    def close(self) -> None:
        """Every file is closed when it is written."""


def _cif(candidate: Candidate) -> str:
    from pymatgen.io.cif import CifWriter

    return str(CifWriter(candidate.crystal.to_pymatgen()))


def _poscar(candidate: Candidate) -> str:
    from pymatgen.io.vasp import Poscar

    structure = candidate.crystal.to_pymatgen().get_sorted_structure()
    return Poscar(structure, comment=candidate.candidate_id).get_str(significant_figures=12)


def _extxyz(candidate: Candidate) -> str:
    from ase import Atoms
    from ase.io import write

    crystal = candidate.crystal
    known = {name: value for name, value in candidate.properties.items() if value is not None}
    atoms = Atoms(
        numbers=crystal.numbers,
        scaled_positions=crystal.frac_coords,
        cell=crystal.lattice,
        pbc=True,
        info={"candidate_id": candidate.candidate_id, **known},
    )
    file = StringIO()
    write(file, atoms, format="extxyz")
    return file.getvalue()


def _json(candidate: Candidate) -> str:
    structure = candidate.crystal.to_pymatgen()
    structure.properties = {"candidate_id": candidate.candidate_id, **candidate.properties}
    return json.dumps(structure.as_dict())


_FORMATS: dict[str, tuple[str, Callable[[Candidate], str]]] = {
    "cif": (".cif", _cif),
    "poscar": (".vasp", _poscar),
    "extxyz": (".extxyz", _extxyz),
    "json": (".json", _json),
}
