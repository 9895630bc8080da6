"""Between candidates and rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from stargen.codec import pack_bulk, unpack_bulk
from stargen.crystal import Candidate, Crystal, Scalar
from stargen.expressions import kind_of
from stargen.provenance import Provenance
from stargen_database.schema import WELL_KNOWN

_WHOLE = frozenset({"spacegroup"})  # numbers that are counts or labels, and read so


def property_columns(properties: Mapping[str, Scalar]) -> dict[str, Any]:
    """The well-known columns and, as `properties`, the rest; absent values are left out.

    A value of another kind than its column's goes to the rest, where filters look too.
    """
    columns: dict[str, Any] = dict.fromkeys(WELL_KNOWN)
    rest: dict[str, Scalar] = {}
    for name, value in properties.items():
        kind = kind_of(value)
        if kind is None:
            continue
        if isinstance(value, str):
            value = value.replace("\0", "�")  # PostgreSQL has no such character
        if WELL_KNOWN.get(name) is kind:
            columns[name] = value
        else:
            rest[name] = value
    columns["properties"] = rest or None
    return columns


def properties_of(row: Mapping[str, Any]) -> dict[str, Scalar]:
    """The properties of a row of `material`, the inverse of `property_columns`."""
    found: dict[str, Scalar] = {}
    for name in WELL_KNOWN:
        value = row[name]
        if value is not None:
            found[name] = int(value) if name in _WHOLE and value == int(value) else value
    return {**found, **(row["properties"] or {})}


def geometry_columns(candidate: Candidate) -> dict[str, Any]:
    """A row of `geometry`, but for its key."""
    crystal = candidate.crystal
    return {
        "lattice": crystal.lattice.astype("<f8").tobytes(),
        "frac_coords": crystal.frac_coords.astype("<f8").tobytes(),
        "numbers": crystal.numbers.tobytes(),
        "provenance": [
            [p.calculator, p.version, p.job, p.params_hash, p.seed, _plain(dict(p.note))]
            for p in candidate.provenance
        ],
        "data": pack_bulk(dict(candidate.data)) if candidate.data else None,
    }


def candidate_of(row: Mapping[str, Any]) -> Candidate:
    """The candidate of a row of `material` joined with `geometry`."""
    crystal = Crystal.of(
        np.frombuffer(row["lattice"], "<f8").reshape(3, 3),
        np.frombuffer(row["frac_coords"], "<f8").reshape(-1, 3),
        np.frombuffer(row["numbers"], np.uint8),
    )
    data = unpack_bulk(row["data"]) if row["data"] else {}
    steps = tuple(Provenance(*step) for step in row["provenance"])
    return Candidate(row["candidate_id"], crystal, properties_of(row), data, steps)


def _plain(note: dict[str, Any]) -> dict[str, Any]:
    """A note as JSON can hold it; what it cannot hold becomes text, NaN among it."""
    return json.loads(json.dumps(note, default=str), parse_constant=str)
