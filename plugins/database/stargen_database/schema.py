"""The tables. Thin `material` for questions, fat `geometry` for answers.

A scan of the thin table costs a sixteenth of one over rows that carry their atoms, and
`material_element`, whose key is led by the element, answers which materials hold an element without
any scan. The schema is the same for SQLite and PostgreSQL.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from stargen.expressions import ValueKind

SCHEMA_VERSION = 2

WELL_KNOWN: dict[str, ValueKind] = {
    "formation_energy_per_atom": ValueKind.NUMBER,
    "e_above_hull": ValueKind.NUMBER,
    "e_above_hull_self": ValueKind.NUMBER,
    "hull_reference": ValueKind.TEXT,
    "energy_per_atom": ValueKind.NUMBER,
    "energy_scheme": ValueKind.TEXT,
    "formation_energy_pred": ValueKind.NUMBER,
    "band_gap": ValueKind.NUMBER,
    "band_gap_pred": ValueKind.NUMBER,
    "spacegroup": ValueKind.NUMBER,
    "volume_per_atom": ValueKind.NUMBER,
    "density": ValueKind.NUMBER,
}
"""Properties with a column of their own; others, and values of another kind, go into JSON."""

_INDEXED = ("formation_energy_per_atom", "e_above_hull", "band_gap", "spacegroup")

metadata = sa.MetaData()
# Symbols and ids compare by code point, as Python does, whatever the server's language.
_text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
_key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_number = sa.Double()
_types = {ValueKind.NUMBER: _number, ValueKind.TEXT: _text}

about = sa.Table("stargen", metadata, sa.Column("schema_version", sa.Integer, primary_key=True))

run = sa.Table(
    "run",
    metadata,
    sa.Column("id", _key, primary_key=True),
    sa.Column("campaign", _text, nullable=False, unique=True),
    sa.Column("run_key", _text, nullable=False),  # of the journal that `position` counts in
    sa.Column("position", sa.BigInteger, nullable=False),  # of the journal, stored so far
    sa.Column("jobs", _json, nullable=False),  # [[name, [inputs]]], upstream first
    sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
)

material = sa.Table(
    "material",
    metadata,
    sa.Column("id", _key, primary_key=True),
    sa.Column("run_id", _key, sa.ForeignKey(run.c.id), nullable=False),
    sa.Column("candidate_id", _text, nullable=False),
    sa.Column("formula", _text, nullable=False),
    sa.Column("n_atoms", sa.Integer, nullable=False),
    sa.Column("n_elements", sa.Integer, nullable=False),
    sa.Column("structure_hash", sa.LargeBinary, nullable=False),
    sa.Column("stage", _text, nullable=False),  # the furthest job that it came out of
    sa.Column("status", _text, nullable=False),  # alive, kept, dropped or quarantined
    sa.Column("verdict_job", _text),  # which job dropped or quarantined it
    sa.Column("reason", _text),
    sa.Column("detail", _text),
    *(sa.Column(name, _types[kind]) for name, kind in WELL_KNOWN.items()),
    sa.Column("properties", _json),
    sa.UniqueConstraint("run_id", "candidate_id"),
)
sa.Index("material_formula", material.c.formula)
for _name in _INDEXED:  # most candidates end before they have these, and cost the index nothing
    _there = material.c[_name].is_not(None)
    sa.Index(f"material_{_name}", material.c[_name], sqlite_where=_there, postgresql_where=_there)

geometry = sa.Table(
    "geometry",
    metadata,
    sa.Column("material_id", _key, primary_key=True, autoincrement=False),
    sa.Column("lattice", sa.LargeBinary, nullable=False),  # 9 float64, little-endian, Å, by rows
    sa.Column("frac_coords", sa.LargeBinary, nullable=False),  # n x 3 float64
    sa.Column("numbers", sa.LargeBinary, nullable=False),  # n uint8
    sa.Column("provenance", _json, nullable=False),  # steps, oldest first
    sa.Column("data", sa.LargeBinary),  # bulk results, msgpack
)

material_element = sa.Table(
    "material_element",
    metadata,
    sa.Column("el", _text, primary_key=True),
    sa.Column("material_id", _key, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
sa.Index("material_element_id", material_element.c.material_id)

job_count = sa.Table(
    "job_count",
    metadata,
    sa.Column("run_id", _key, primary_key=True, autoincrement=False),
    sa.Column("job", _text, primary_key=True),
    sa.Column("came_out", sa.BigInteger, nullable=False),
    sa.Column("dropped", sa.BigInteger, nullable=False),
    sa.Column("quarantined", sa.BigInteger, nullable=False),
)

verdict_count = sa.Table(
    "verdict_count",
    metadata,
    sa.Column("run_id", _key, primary_key=True, autoincrement=False),
    sa.Column("job", _text, primary_key=True),
    sa.Column("step", _text, primary_key=True),
    sa.Column("status", _text, primary_key=True),
    sa.Column("reason", _text, primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("example_id", _text, nullable=False),
    sa.Column("example_detail", _text, nullable=False),
)

property_name = sa.Table("property_name", metadata, sa.Column("name", _text, primary_key=True))
