"""A file of known crystals by reduced formula; a crystal is parsed when its formula is met.

No worker could parse a million CIFs, but only formulas that candidates have are ever looked at.
Rows are held compressed, at about half a kilobyte each, once on a node: arrays that all its workers
map, and in which a formula is found by its hash.
"""

from __future__ import annotations

import csv
import gzip
import json
import logging
import re
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np

from stargen.calculators.context import file_key
from stargen.calculators.contract import Context
from stargen.codec import pack, pack_bulk, unpack, unpack_bulk
from stargen.crystal import Crystal
from stargen.elements import ATOMIC_NUMBERS, reduced_formula
from stargen_filters.params import NovelParams

_log = logging.getLogger(__name__)
_AMOUNT = re.compile(r"([A-Z][a-z]?)\s*(\d*)")
_FORMULA_SUM = re.compile(r"^_chemical_formula_sum\s+['\"]?([^'\"\n]+)", re.MULTILINE)
_ZLIB_LEVEL = 1


class Row(NamedTuple):
    """One known crystal as text."""

    name: str
    formula: str
    text: bytes


class ReferenceSet:
    """Known crystals by reduced formula.

    Parameters
    ----------
    path : CSV with a ``cif`` column, JSON lines of pymatgen structures, or extended XYZ; CSV and
        JSON lines may be gzipped
    context : keeps what is made of the file

    Raises
    ------
    ValueError : if the file is not what its name says, or a CSV lacks the columns named
    """

    def __init__(self, path: Path, params: NovelParams, context: Context) -> None:
        rows, self._parse = _FORMATS[_suffix(path)]
        key = f"{file_key(path)} known by {params.id_column}, {params.formula_column}"
        arrays = context.shared_arrays(key, lambda: _packed(rows(path, params)))
        self._hashes, self._ends, self._rows = (arrays[name] for name in ("hash", "end", "rows"))

    def __len__(self) -> int:
        return len(self._hashes) - 1

    def crystals(self, formula: str) -> Iterator[tuple[str, Crystal]]:
        """The known crystals of a formula, in file order; unreadable ones are logged, left out."""
        wanted = _hash(formula)
        first, last = (np.searchsorted(self._hashes, wanted, side) for side in ("left", "right"))
        for i in range(int(first), int(last)):
            row = self._rows[self._ends[i - 1] if i else 0 : self._ends[i]]
            found, name, packed = unpack(row.tobytes())
            if found != formula:
                continue
            try:
                yield name, self._parse(zlib.decompress(packed))
            except Exception as error:  # a parser may raise anything on a row it cannot read
                _log.warning("reference crystal %s is unreadable: %s", name, error)


def _packed(rows: Iterator[Row]) -> dict[str, np.ndarray]:
    """Rows in the order of their formulas' hashes, and where each ends.

    A last row that no formula has stands for itself: arrays without entries cannot be mapped.
    """
    found = [
        (_hash(row.formula), pack((row.formula, row.name, zlib.compress(row.text, _ZLIB_LEVEL))))
        for row in rows
    ]
    found.sort(key=lambda pair: pair[0])  # stable: in file order within a formula
    found.append((np.uint64(2**64 - 1), pack(("", "", b""))))
    return {
        "hash": np.array([pair[0] for pair in found]),
        "end": np.cumsum([len(pair[1]) for pair in found]),
        "rows": np.frombuffer(b"".join(pair[1] for pair in found), np.uint8),
    }


def _hash(formula: str) -> np.uint64:
    return np.frombuffer(blake2b(formula.encode(), digest_size=8).digest(), np.uint64)[0]


def alphabetical_formula(text: str) -> str:
    """``Li2 O1``, ``LiFePO4`` or ``Ti O2`` as stargen writes reduced formulas.

    Raises
    ------
    ValueError : if it is not a formula of whole numbers without brackets
    """
    if re.sub(r"\s+", "", _AMOUNT.sub("", text)):
        raise ValueError(f"{text!r} is not a formula of whole numbers")
    numbers = bytearray()
    for symbol, amount in _AMOUNT.findall(text):
        if symbol not in ATOMIC_NUMBERS:
            raise ValueError(f"{text!r}: there is no element {symbol}")
        numbers += bytes([ATOMIC_NUMBERS[symbol]]) * int(amount or 1)
    return reduced_formula(bytes(numbers))


def _suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return name[name.rfind(".") :]


def _open_text(path: Path) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return cast("IO[str]", gzip.open(path, "rt", encoding="utf-8", newline=""))
    return path.open(encoding="utf-8", newline="")


def _csv_rows(path: Path, params: NovelParams) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    with _open_text(path) as file:
        reader = csv.DictReader(file)
        named = {"cif", params.formula_column} - {None}
        if missing := named - set(reader.fieldnames or ()):
            raise ValueError(f"{path} has no column {', '.join(sorted(map(str, missing)))}")
        for i, record in enumerate(reader):
            name = record.get(params.id_column) or f"row {i}"
            try:
                formula = _csv_formula(record, params.formula_column)
            except ValueError as error:
                _log.warning("reference crystal %s is left out: %s", name, error)
                continue
            yield Row(name, formula, record["cif"].encode())


def _csv_formula(record: dict[str, str], column: str | None) -> str:
    if column is not None:
        return alphabetical_formula(record[column])
    if found := _FORMULA_SUM.search(record["cif"]):
        return alphabetical_formula(found[1])
    return _parse_cif(record["cif"].encode()).formula


def _parse_cif(text: bytes) -> Crystal:
    from pymatgen.core import Structure

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters is raised
        return Crystal.from_pymatgen(Structure.from_str(text.decode(), fmt="cif"))


def _jsonl_rows(path: Path, params: NovelParams) -> Iterator[Row]:
    with _open_text(path) as file:
        for i, line in enumerate(file):
            if not line.strip():
                continue
            name = f"line {i + 1}"
            try:
                record = json.loads(line)
                name = str(record.get(params.id_column) or name)
                crystal = _crystal_of(record)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                _log.warning("reference crystal %s is left out: %s", name, error)
                continue
            yield Row(name, crystal.formula, line.encode())


def _parse_json(text: bytes) -> Crystal:
    return _crystal_of(json.loads(text))


def _crystal_of(record: dict[str, Any]) -> Crystal:
    """A pymatgen structure as a dictionary, alone or under the key ``structure``."""
    structure = record.get("structure", record)
    sites = structure["sites"]
    if any(len(site["species"]) != 1 or site["species"][0]["occu"] != 1 for site in sites):
        raise ValueError("the structure has partial occupancies")
    return Crystal.of(
        structure["lattice"]["matrix"],
        [site["abc"] for site in sites],
        [ATOMIC_NUMBERS[site["species"][0]["element"]] for site in sites],
    )


def _extxyz_rows(path: Path, params: NovelParams) -> Iterator[Row]:
    from ase.io import iread

    for i, atoms in enumerate(iread(path, index=":", format="extxyz")):
        crystal = Crystal.of(
            atoms.cell.array, atoms.get_scaled_positions(wrap=False), atoms.numbers
        )
        name = str(atoms.info.get(params.id_column, f"frame {i}"))
        arrays = (crystal.lattice, crystal.frac_coords, crystal.numbers)
        yield Row(name, crystal.formula, pack_bulk(arrays))


def _parse_arrays(text: bytes) -> Crystal:
    return Crystal.of(*unpack_bulk(text))


_Reader = Callable[[Path, NovelParams], Iterator[Row]]
_FORMATS: dict[str, tuple[_Reader, Callable[[bytes], Crystal]]] = {
    ".csv": (_csv_rows, _parse_cif),
    ".jsonl": (_jsonl_rows, _parse_json),
    ".extxyz": (_extxyz_rows, _parse_arrays),
    ".xyz": (_extxyz_rows, _parse_arrays),
}
