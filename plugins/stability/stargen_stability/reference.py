"""Competing phases that the campaign did not make: from a file, or from a Star-gen database."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stargen.errors import UserTaskError
from stargen_stability.elemental import ElementalReference
from stargen_stability.formulas import parse_formula
from stargen_stability.phases import Phases
from stargen_stability.schemes import scale_of
from stargen_stability.tables import (
    FORMATION_COLUMN,
    FORMULA_COLUMNS,
    SCHEME_COLUMN,
    TOTAL_COLUMN,
    missing_columns,
    rows,
)


@dataclass(frozen=True, slots=True)
class Reference:
    """Phases and the name that results cite, ``file@hash``."""

    name: str
    scale: str
    phases: Phases


def from_file(path: Path, scale: str, elements: ElementalReference) -> Reference:
    """The phases of a file; rows without an energy are left out.

    Raises
    ------
    UserTaskError : naming the row that cannot be used, or the schemes that differ
    """
    try:
        lack = missing_columns(path)
        phases = Phases() if lack else _phases(rows(path), scale, elements)
        digest = hashlib.blake2b(path.read_bytes(), digest_size=6).hexdigest()
    except (ValueError, OSError) as error:
        raise UserTaskError(f"reference {path.name}: {error}") from error
    if lack:
        raise UserTaskError(f"reference {path.name}: {lack}")
    return Reference(f"{path.name}@{digest}", scale, phases)


def from_database(url: str, name: str, scale: str, elements: ElementalReference) -> Reference:
    """The phases of a Star-gen database: its table `material`.

    Raises
    ------
    UserTaskError : if it cannot be read, or its schemes differ
    """
    try:
        import sqlalchemy
    except ImportError:
        raise UserTaskError("a database as reference needs the package stargen-database") from None
    query = sqlalchemy.text(
        "SELECT formula, formation_energy_per_atom, energy_per_atom, energy_scheme FROM material "
        "WHERE formation_energy_per_atom IS NOT NULL OR energy_per_atom IS NOT NULL"
    )
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            found = [dict(row) for row in connection.execute(query).mappings()]
        phases = _phases(found, scale, elements)
    except (ValueError, sqlalchemy.exc.SQLAlchemyError) as error:
        raise UserTaskError(f"database {name}: {error}") from error
    finally:
        engine.dispose()
    return Reference(f"{name} ({len(phases)} phases)", scale, phases)


def _phases(table: Iterable[Mapping[str, Any]], scale: str, elements: ElementalReference) -> Phases:
    phases = Phases()
    for number, row in enumerate(table, 1):
        energy, is_formation = _energy(row, number)
        if energy is None:
            continue
        scheme = row.get(SCHEME_COLUMN)
        if scheme and scale_of(str(scheme)) != scale:
            raise ValueError(f"row {number} has energies of scheme {scheme}, not {scale}")
        formula = next((row[name] for name in FORMULA_COLUMNS if row.get(name)), "")
        amounts = parse_formula(str(formula))
        if not is_formation:
            try:
                energy = elements.formation_energy(amounts, energy)
            except KeyError as error:
                raise ValueError(
                    f"row {number}: {elements.name} has no energy of {error.args[0]}"
                ) from None
        phases.add(amounts, energy)
    return phases


def _energy(row: Mapping[str, Any], number: int) -> tuple[float | None, bool]:
    """A row's energy, and whether it is a formation energy; (None, ...) if it has none."""
    for name in (FORMATION_COLUMN, TOTAL_COLUMN):
        value = row.get(name)
        if value is None or value == "":
            continue
        try:
            energy = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"row {number}: {name} is {value!r}, not a number") from None
        if math.isfinite(energy):
            return energy, name == FORMATION_COLUMN
    return None, False
