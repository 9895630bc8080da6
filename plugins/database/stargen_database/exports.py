"""Materials as files that other programs read: CIF, extended XYZ, pymatgen JSON, CSV."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO

from stargen.crystal import Candidate, Scalar
from stargen_database.queries import Found

Pair = tuple[Found, Candidate]


def write_cif(pairs: Iterable[Pair], file: IO[str], names: Sequence[str]) -> int:
    """One data block a material, P1, named by its id."""
    written = 0
    for found, candidate in pairs:
        file.write(cif_block(found, candidate))
        written += 1
    return written


def cif_block(found: Found, candidate: Candidate) -> str:
    """A material as CIF text."""
    from pymatgen.io.cif import CifWriter

    text = str(CifWriter(candidate.crystal.to_pymatgen(), significant_figures=8))
    return re.sub(r"^data_.*$", f"data_{file_stem(found)}", text, count=1, flags=re.MULTILINE)


def file_stem(found: Found) -> str:
    """Its id as a file name may be."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", found.id)


def write_extxyz(pairs: Iterable[Pair], file: IO[str], names: Sequence[str]) -> int:
    """One frame a material, its properties in the comment line."""
    written = 0
    for found, candidate in pairs:
        crystal = candidate.crystal
        lattice = " ".join(repr(x) for x in crystal.lattice.ravel().tolist())
        fields = {"id": found.id, "formula": found.formula, **found.properties}
        info = " ".join(f"{name}={_xyz_value(value)}" for name, value in fields.items())
        file.write(f"{crystal.n_atoms}\n")
        file.write(f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="T T T" {info}\n')
        positions = crystal.frac_coords @ crystal.lattice
        for symbol, place in zip(crystal.symbols, positions.tolist(), strict=True):
            file.write(f"{symbol:2} " + " ".join(f"{x:.10f}" for x in place) + "\n")
        written += 1
    return written


def _xyz_value(value: Scalar) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def write_json(pairs: Iterable[Pair], file: IO[str], names: Sequence[str]) -> int:
    """A list of pymatgen structures whose `properties` are the material's."""
    written = 0
    file.write("[")
    for found, candidate in pairs:
        structure = candidate.crystal.to_pymatgen()
        structure.properties = found.plain()
        file.write(",\n" if written else "\n")
        file.write(json.dumps(structure.as_dict(), ensure_ascii=False))
        written += 1
    file.write("\n]\n")
    return written


def write_csv(pairs: Iterable[Pair], file: IO[str], names: Sequence[str]) -> int:
    """One row a material, without its atoms; `names` are the properties' columns."""
    columns = ["campaign", "id", "formula", "n_atoms", "stage", "status", "reason", *names]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    written = 0
    for found, _ in pairs:
        writer.writerow([_csv_value(found.value(name)) for name in columns])
        written += 1
    return written


def _csv_value(value: Scalar) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)


Write = Callable[[Iterable[Pair], IO[str], Sequence[str]], int]
FORMATS: dict[str, Write] = {
    "cif": write_cif,
    "extxyz": write_extxyz,
    "json": write_json,
    "csv": write_csv,
}


def cif_files(pairs: Iterable[Pair]) -> Iterator[tuple[str, str]]:
    """A file name and its text for each material."""
    for found, candidate in pairs:
        yield f"{file_stem(found)}.cif", cif_block(found, candidate)
