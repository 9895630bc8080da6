"""Tables of phases from files: CSV, JSON (either may be gzipped) and Parquet, as rows."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars

FORMULA_COLUMNS = ("reduced_formula", "formula", "chemical_formula_reduced")
FORMATION_COLUMN = "formation_energy_per_atom"
TOTAL_COLUMN = "energy_per_atom"
SCHEME_COLUMN = "energy_scheme"
FORMATS = (".csv", ".csv.gz", ".json", ".json.gz", ".parquet")
"""What can be read, by the end of the file's name."""


def columns(path: Path) -> list[str]:
    """The column names, read without the rest where the format allows.

    Raises
    ------
    ValueError : if the file is not such a table
    OSError : if it cannot be read
    """
    match _format(path):
        case ".csv":
            with _damage_named(path), _open(path) as file:
                return list(next(csv.reader(file), []))
        case ".parquet":
            return list(_parquet(path).columns)
        case _:
            return sorted({name for row in _json_rows(path) for name in row})


def missing_columns(path: Path) -> str | None:
    """What a file lacks to be a reference, in words; None if nothing.

    Raises
    ------
    ValueError, OSError : if it is not a table or cannot be read
    """
    names = set(columns(path))
    if not names & set(FORMULA_COLUMNS):
        return f"no column {' or '.join(FORMULA_COLUMNS)}"
    if not names & {FORMATION_COLUMN, TOTAL_COLUMN}:
        return f"no column {FORMATION_COLUMN} or {TOTAL_COLUMN}"
    return None


def rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows as mappings; the values of a CSV are texts.

    Raises
    ------
    ValueError : if the file is not such a table
    OSError : if it cannot be read
    """
    match _format(path):
        case ".csv":
            with _damage_named(path), _open(path) as file:
                yield from csv.DictReader(file)
        case ".parquet":
            yield from _parquet(path).iter_rows(named=True)
        case _:
            yield from _json_rows(path)


def _format(path: Path) -> str:
    name = path.name.lower()
    for ending in FORMATS:
        if name.endswith(ending):
            return ending.removesuffix(".gz")
    raise ValueError(f"{path.name}: not one of {', '.join(FORMATS)}")


def _open(path: Path) -> IO[str]:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, csv.Error) as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error


def _json_rows(path: Path) -> list[Mapping[str, Any]]:
    with _damage_named(path), _open(path) as file:
        table = json.load(file)
    if isinstance(table, dict) and all(isinstance(column, list) for column in table.values()):
        names = list(table)
        table = [dict(zip(names, row, strict=True)) for row in zip(*table.values(), strict=True)]
    if not isinstance(table, list) or not all(isinstance(row, dict) for row in table):
        raise ValueError(f"{path.name}: neither a list of objects nor an object of columns")
    return table


def _parquet(path: Path) -> polars.DataFrame:
    import polars

    try:
        return polars.read_parquet(path)
    except polars.exceptions.PolarsError as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
