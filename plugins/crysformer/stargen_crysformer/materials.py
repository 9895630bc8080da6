"""Labelled crystals from a campaign's own database: what it computed becomes what is learnt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stargen import Crystal
from stargen.errors import UserError
from stargen_crysformer.sets import Labelled, split_of

_QUERY = """
SELECT run.campaign, material.*, geometry.lattice, geometry.frac_coords, geometry.numbers
FROM material JOIN geometry ON geometry.material_id = material.id
JOIN run ON run.id = material.run_id
ORDER BY run.campaign, material.candidate_id
"""


def read_materials(url: str, targets: Sequence[str]) -> Labelled:
    """The materials of a database that have at least one of the properties.

    They are split by composition, as files without a split are.

    Raises
    ------
    UserError : if it cannot be read, no material has such a property, or energies were computed
        by different schemes
    """
    try:
        import sqlalchemy as sa
    except ImportError:
        raise UserError(
            "a database is read with SQLAlchemy, which is not installed",
            key="--database",
            hint="install stargen-database",
        ) from None
    try:
        engine = sa.create_engine(_without_making(url))
        with engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(sa.text(_QUERY)).mappings()]
        engine.dispose()
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        told = str(error).splitlines()[0]
        raise UserError(f"{url} cannot be read: {told}", key="--database") from error
    labels = np.array([[_number(row, target) for target in targets] for row in rows])
    rows = [row for row, mine in zip(rows, labels, strict=True) if np.isfinite(mine).any()]
    if not rows:
        raise UserError(
            f"no material of {url} has {' or '.join(targets)}",
            key="--database",
            hint="`stargen db stats` lists the properties that there are",
        )
    labels = labels[np.isfinite(labels).any(axis=1)]
    crystals = [_crystal(row) for row in rows]
    return Labelled(
        [f"{row['campaign']}:{row['candidate_id']}" for row in rows],
        crystals,
        labels,
        np.array([split_of(crystal.formula) for crystal in crystals]),
        _corrections(url, rows, labels, targets),
    )


def _corrections(
    url: str, rows: list[dict[str, Any]], labels: NDArray[np.float64], targets: Sequence[str]
) -> str | None:
    """What the scheme of all energies says of their corrections; schemes are ``method/scale``."""
    energies = labels[:, ["energy" in target for target in targets]]
    have = np.isfinite(energies).any(axis=1)
    schemes = {row["energy_scheme"] for row, mine in zip(rows, have, strict=True) if mine}
    if len(schemes) > 1:
        raise UserError(
            f"{url} has energies of {len(schemes)} schemes, which cannot be learnt together: "
            f"{', '.join(sorted(map(str, schemes)))}",
            key="--database",
            hint="keep campaigns of different schemes in databases of their own",
        )
    (scheme,) = schemes or {None}
    return None if scheme is None else scheme.rsplit("/", 1)[-1]


def _without_making(url: str) -> str:
    """SQLite would make a file that is not there; PostgreSQL is asked by the sink's driver."""
    prefix = "sqlite:///"
    if url.startswith(prefix):
        return f"{prefix}file:{url.removeprefix(prefix)}?mode=ro&uri=true"
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def _number(row: dict[str, Any], target: str) -> float:
    value = row.get(target)
    if value is None:
        more = row["properties"] or {}
        value = (json.loads(more) if isinstance(more, str) else more).get(target)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return float("nan")
    return float(value)


def _crystal(row: dict[str, Any]) -> Crystal:
    return Crystal.of(
        np.frombuffer(row["lattice"], "<f8").reshape(3, 3),
        np.frombuffer(row["frac_coords"], "<f8").reshape(-1, 3),
        np.frombuffer(row["numbers"], np.uint8),
    )
