"""Crystals to learn from: CSV and Parquet with a column of CIFs, npz archives, databases."""

from __future__ import annotations

import csv
import gzip
import hashlib
import sys
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stargen import Crystal
from stargen.errors import UserError
from stargen_diffusion.lattices import canonical

_DAMAGE = (OSError, EOFError, KeyError, ValueError, zlib.error, csv.Error, zipfile.BadZipFile)
FORMATS = (".csv", ".csv.gz", ".parquet", ".npz")
SPLITS = ("train", "val", "test")
_NEEDED = ("offset", "atomic_numbers", "frac_coords", "cell")


@dataclass(frozen=True, slots=True)
class Row:
    """One crystal of a data set; `e_above_hull` in eV/atom, NaN where unknown."""

    name: str
    crystal: Crystal
    split: str
    e_above_hull: float = float("nan")


@dataclass(slots=True)
class Rows:
    """What could be read, and how many rows could not, by reason."""

    rows: list[Row] = field(default_factory=list[Row])
    skipped: Counter[str] = field(default_factory=Counter[str])

    def of(self, split: str, max_e_above_hull: float | None = None) -> list[Crystal]:
        """The crystals of one part; those without a label for the hull pass."""
        bound = float("inf") if max_e_above_hull is None else max_e_above_hull
        return [r.crystal for r in self.rows if r.split == split and not r.e_above_hull >= bound]


def split_of(formula: str) -> str:
    """Where a crystal belongs that no file has assigned: by composition, four fifths to train."""
    place = int(hashlib.md5(formula.encode(), usedforsecurity=False).hexdigest(), 16) % 100
    return "train" if place < 80 else "val" if place < 90 else "test"


def read(path: Path) -> Rows:
    """The rows of a file.

    Raises
    ------
    UserError : if the file is missing, damaged, of no known form, or lacks what is needed
    """
    name = path.name.lower()
    try:
        if name.endswith(".npz"):
            return _collected(_npz(path))
        if name.endswith((".csv", ".csv.gz")):
            return _collected(map(_of_cif, _csv(path)))
        if name.endswith(".parquet"):
            return _collected(map(_of_cif, _parquet(path)))
    except (
        OSError,
        EOFError,
        KeyError,
        ValueError,
        zlib.error,
        csv.Error,
        zipfile.BadZipFile,
    ) as error:
        raise UserError(f"cannot be read: {error}", file=path) from error
    raise UserError(f"is none of {', '.join(FORMATS)}", file=path)


def read_database(url: str, where: str) -> Rows:
    """A campaign's own results from its database, those whose status is kept or alive.

    Parameters
    ----------
    where : SQL on the columns of table `material`, `stage = 'relax'` say

    Raises
    ------
    UserError : if it cannot be read
    """
    try:
        import sqlalchemy as sa
    except ImportError:
        raise UserError("reading a database needs the package stargen-database") from None
    query = sa.text(
        "SELECT candidate_id, lattice, frac_coords, numbers, e_above_hull FROM material"
        f" JOIN geometry ON geometry.material_id = material.id WHERE ({where})"
        " AND status IN ('kept', 'alive') ORDER BY candidate_id"
    )
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            return _collected([_of_columns(row) for row in connection.execute(query).mappings()])
    except sa.exc.SQLAlchemyError as error:
        raise UserError(f"database {url}: {error}") from error
    finally:
        engine.dispose()


class _BadRow(Exception):
    """A row that is no crystal; the text is the reason that it is counted under."""


def _collected(rows: Iterable[Row | _BadRow]) -> Rows:
    found = Rows()
    for row in rows:
        if isinstance(row, Row):
            found.rows.append(row)
        else:
            found.skipped[str(row)] += 1
    return found


def _npz(path: Path) -> Iterator[Row | _BadRow]:
    with np.load(path, allow_pickle=False) as archive:
        if missing := [name for name in _NEEDED if name not in archive]:
            raise ValueError(f"it has no array {', '.join(missing)}")
        table = {name: archive[name] for name in archive.files}
    offset = table["offset"]
    lattices = canonical(table["cell"][:, :3], table["cell"][:, 3:])
    names = table.get("material_id", np.arange(len(lattices)))
    for at, lattice in enumerate(lattices):
        atoms = slice(offset[at], offset[at + 1])
        try:
            crystal = Crystal.of(
                lattice, table["frac_coords"][atoms], table["atomic_numbers"][atoms]
            )
        except ValueError:
            yield _BadRow("no crystal")
            continue
        labels = {name: table[name][at] for name in ("split", "e_above_hull") if name in table}
        yield _row(str(names[at]), crystal, labels)


def _csv(path: Path) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(sys.maxsize)
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if "cif" not in (reader.fieldnames or ()):
            raise ValueError("it has no column cif")
        yield from reader


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        import polars
    except ImportError:
        raise UserError("Parquet needs the package polars", file=path) from None
    try:
        table = polars.read_parquet(path)
    except polars.exceptions.PolarsError as error:
        raise ValueError(str(error)) from error
    if "cif" not in table.columns:
        raise ValueError("it has no column cif")
    yield from table.iter_rows(named=True)


def _of_cif(record: Mapping[str, Any]) -> Row | _BadRow:
    from pymatgen.core import Structure

    name = str(record.get("material_id") or record.get("row_id") or "")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is raised
            structure = Structure.from_str(record["cif"] or "", fmt="cif")
        crystal = Crystal.from_pymatgen(structure)
    except Exception:  # the parser may raise anything on a row that it cannot read
        return _BadRow("unreadable CIF")
    return _row(name, crystal, record)


def _of_columns(record: Mapping[str, Any]) -> Row | _BadRow:
    try:
        crystal = Crystal.of(
            np.frombuffer(record["lattice"], "<f8").reshape(3, 3),
            np.frombuffer(record["frac_coords"], "<f8").reshape(-1, 3),
            np.frombuffer(record["numbers"], np.uint8),
        )
    except ValueError:
        return _BadRow("no crystal")
    return _row(record["candidate_id"], crystal, {"e_above_hull": record["e_above_hull"]})


def _row(name: str, crystal: Crystal, labels: Mapping[str, Any]) -> Row | _BadRow:
    split = labels.get("split")
    if split is None or split == "":
        split = split_of(crystal.formula)
    elif not isinstance(split, str):
        split = SPLITS[int(split)] if 0 <= int(split) < len(SPLITS) else ""
    if split not in SPLITS:
        return _BadRow("unknown split")
    hull = labels.get("e_above_hull")
    try:
        hull = float("nan" if hull in (None, "") else hull)
    except ValueError:
        return _BadRow("label is no number")
    return Row(name, crystal, split, hull)
