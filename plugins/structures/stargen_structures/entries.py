"""The structures in a file, one after another; each is parsed only when somebody wants it.

A source must count what lies before its ordinals without reading it, so finding an entry (a CIF
block, a row, a frame) and reading it are two steps.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import StringIO
from pathlib import Path
from typing import IO, Any, NamedTuple

from stargen.crystal import Crystal
from stargen_structures.files import format_of, open_text

Fields = Mapping[str, Any]
"""What stands beside a structure: columns, comment keys, JSON keys."""

_BLOCK = re.compile(r"^(?=data_)", re.MULTILINE | re.IGNORECASE)
_UNREADABLE_FILE = (OSError, EOFError, zlib.error, csv.Error, ValueError, TypeError)


class Disordered(ValueError):
    """The structure has partial occupancies."""


class Entry(NamedTuple):
    """One structure, found but not yet read.

    `read` may raise anything, `Disordered` among it.
    """

    where: str
    read: Callable[[], tuple[Crystal, Fields]]


def entries(path: Path, name: str) -> Iterator[Entry]:
    """The structures of a file; from where it cannot be read on, one entry that says so."""
    form = format_of(path)
    assert form is not None
    try:
        with open_text(path) as file:
            yield from _FINDERS[form](file, name)
    except _UNREADABLE_FILE as error:
        yield Entry(name, partial(_fail, error))


def _fail(error: Exception) -> tuple[Crystal, Fields]:
    raise error


def _find_cif(file: IO[str], name: str) -> Iterator[Entry]:
    """One for each data block with atoms; journals put blocks of mere text before them."""
    text = file.read()
    blocks = [block for block in _BLOCK.split(text) if "_atom_site_" in block.lower()]
    for k, block in enumerate(blocks or [text]):
        where = f"{name} block {k + 1}" if len(blocks) > 1 else name
        yield Entry(where, partial(_read_cif, block, {}))


def _read_cif(text: str, fields: Fields) -> tuple[Crystal, Fields]:
    from pymatgen.core import Structure

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _ordered(Structure.from_str(text, fmt="cif")), fields


def _find_poscar(file: IO[str], name: str) -> Iterator[Entry]:
    yield Entry(name, partial(_read_poscar, file.read()))


def _read_poscar(text: str) -> tuple[Crystal, Fields]:
    from pymatgen.io.vasp import Poscar

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _ordered(Poscar.from_str(text).structure), {}


def _find_extxyz(file: IO[str], name: str) -> Iterator[Entry]:
    for k, count in enumerate(file):
        if not count.strip():
            continue
        lines = [count, *(file.readline() for _ in range(int(count) + 1))]
        yield Entry(f"{name} frame {k + 1}", partial(_read_extxyz, "".join(lines)))


def _read_extxyz(text: str) -> tuple[Crystal, Fields]:
    from ase.io import read

    atoms: Any = read(StringIO(text), format="extxyz")
    if atoms.cell.rank < 3:
        raise ValueError("the frame has no lattice")
    frac = atoms.get_scaled_positions(wrap=False)
    return Crystal.of(atoms.cell.array, frac, atoms.numbers), atoms.info


def _find_json(file: IO[str], name: str) -> Iterator[Entry]:
    """A structure, a list of them, or a table of them by name."""
    value = json.load(file)
    if isinstance(value, list):
        named = {f"{name} item {k + 1}": item for k, item in enumerate(value)}
    elif "lattice" in value or "structure" in value:
        named = {name: value}
    else:
        named = {f"{name} {key}": item for key, item in value.items()}
    for where, record in named.items():
        yield Entry(where, partial(_read_record, record))


def _find_jsonl(file: IO[str], name: str) -> Iterator[Entry]:
    for k, line in enumerate(file):
        if line.strip():
            yield Entry(f"{name} line {k + 1}", partial(_read_line, line))


def _read_line(line: str) -> tuple[Crystal, Fields]:
    return _read_record(json.loads(line))


def _read_record(record: Any) -> tuple[Crystal, Fields]:
    """A pymatgen structure as a table, alone or under the key ``structure``."""
    from pymatgen.core import Structure

    table = record.get("structure", record)
    structure = Structure.from_dict(table)
    return _ordered(structure), {**(table.get("properties") or {}), **record}


def _find_csv(file: IO[str], name: str) -> Iterator[Entry]:
    csv.field_size_limit(sys.maxsize)
    rows = csv.DictReader(file)
    if "cif" not in (rows.fieldnames or ()):
        raise ValueError("there is no column cif")
    for k, row in enumerate(rows):
        yield Entry(f"{name} row {k + 1}", partial(_read_cif, row["cif"] or "", row))


def _ordered(structure: Any) -> Crystal:
    if not structure.is_ordered:
        raise Disordered("the structure has partial occupancies")
    return Crystal.from_pymatgen(structure)


_FINDERS: dict[str, Callable[[IO[str], str], Iterator[Entry]]] = {
    "cif": _find_cif,
    "poscar": _find_poscar,
    "extxyz": _find_extxyz,
    "json": _find_json,
    "jsonl": _find_jsonl,
    "csv": _find_csv,
}
