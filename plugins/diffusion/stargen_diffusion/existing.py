"""What a database holds already, counted: by element, number of elements, number of atoms."""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stargen.elements import ATOMIC_NUMBERS, formula_elements
from stargen.errors import UserError

_AMOUNTS = re.compile(r"[A-Z][a-z]?(\d*)")


@dataclass(slots=True)
class Existing:
    """Materials by class of element, by number of elements, and by atoms in the cell."""

    elements: Counter[int] = field(default_factory=Counter[int])
    n_elements: Counter[int] = field(default_factory=Counter[int])
    n_atoms: Counter[int] = field(default_factory=Counter[int])

    def add(self, formula: str, n_atoms: int | None) -> None:
        """One more material; without `n_atoms` the atoms of the formula count."""
        symbols = [s for s in formula_elements(formula) if s in ATOMIC_NUMBERS]
        self.elements.update(ATOMIC_NUMBERS[symbol] - 1 for symbol in symbols)
        self.n_elements[len(symbols)] += 1
        self.n_atoms[n_atoms or sum(int(a or 1) for a in _AMOUNTS.findall(formula))] += 1


def read_existing(source: str, folder: Path) -> Existing:
    """Count a table of formulas, or the materials of a database that nothing has dropped.

    Raises
    ------
    UserError : if it cannot be read
    """
    existing = Existing()
    if "://" in source:
        rows: Iterable[tuple[str, int | None]] = _database(source, folder)
    else:
        rows = _table(folder / Path(source).expanduser())
    for formula, n_atoms in rows:
        existing.add(formula, n_atoms)
    return existing


def _database(url: str, folder: Path) -> list[tuple[str, int | None]]:
    try:
        import sqlalchemy as sa
    except ImportError:
        raise UserError("reading a database needs the package stargen-database") from None
    place = sa.make_url(url)
    if place.drivername.startswith("sqlite") and place.database:  # relative to the campaign file
        place = place.set(database=str(folder / place.database))
    engine = sa.create_engine(place)
    query = "SELECT formula, n_atoms FROM material WHERE status IN ('kept', 'alive')"
    try:
        with engine.connect() as connection:
            return [(row[0], row[1]) for row in connection.execute(sa.text(query))]
    except sa.exc.SQLAlchemyError as error:
        raise UserError(f"database {url}: {error}") from error
    finally:
        engine.dispose()


def _table(path: Path) -> Iterator[tuple[str, int | None]]:
    opened = gzip.open if path.name.endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            names = [n for n in ("reduced_formula", "formula") if n in (reader.fieldnames or ())]
            if not names:
                raise UserError("has no column reduced_formula or formula", file=path)
            for row in reader:
                n_atoms = row.get("n_atoms") or ""
                yield row[names[0]] or "", int(n_atoms) if n_atoms.isdecimal() else None
    except (OSError, EOFError, csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read: {error}", file=path) from error
