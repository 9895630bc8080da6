"""Questions to a database: find, count, show, statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from stargen.crystal import Candidate, Scalar
from stargen.expressions import Expression, ValueKind, parse
from stargen_database.filters import OWN_NAMES, Translator
from stargen_database.rows import candidate_of, properties_of
from stargen_database.schema import (
    WELL_KNOWN,
    geometry,
    job_count,
    material,
    material_element,
    property_name,
    run,
    verdict_count,
)

_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Found:
    """A material: what the database knows of it, and its properties.

    `status`: "kept" if it came out of a last job; "dropped" or "quarantined" by `verdict_job`, for
    `reason`; else "alive": under way, or passed over by a select.
    """

    campaign: str
    id: str
    formula: str
    n_atoms: int
    stage: str
    status: str
    verdict_job: str | None
    reason: str | None
    detail: str | None
    properties: dict[str, Scalar]

    def value(self, name: str) -> Scalar:
        """A field or property by the name that filters use."""
        own = {"id": self.id, "formula": self.formula, "n_atoms": self.n_atoms}
        own |= {"campaign": self.campaign, "stage": self.stage, "status": self.status}
        own |= {"reason": self.reason, "nsites": self.n_atoms}
        return own[name] if name in own else self.properties.get(name)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        fields = ("campaign", "id", "formula", "n_atoms", "stage", "status")
        verdict = ("verdict_job", "reason", "detail") if self.reason else ()
        return {**{name: getattr(self, name) for name in fields + verdict}, **self.properties}


def property_names(connection: sa.Connection) -> list[str]:
    """The properties that some material had."""
    query = sa.select(property_name.c.name).order_by(property_name.c.name)
    return list(connection.execute(query).scalars())


def known_names(connection: sa.Connection) -> frozenset[str]:
    """Names that a filter may use here, beside the built-ins."""
    return frozenset([*property_names(connection), *WELL_KNOWN, *OWN_NAMES])


def parse_filter(connection: sa.Connection, text: str | None) -> Expression | None:
    """A filter, checked against the names that this database has; None matches all.

    Raises
    ------
    ExpressionError : with the column, and the nearest name for an unknown one
    """
    return None if text is None else parse(text, known=known_names(connection))


def count(connection: sa.Connection, expression: Expression | None) -> int:
    """How many materials match."""
    query = sa.select(sa.func.count()).select_from(material)
    return connection.execute(_where(connection, query, expression)).scalar_one()


def find(
    connection: sa.Connection,
    expression: Expression | None = None,
    *,
    order_by: str | None = None,
    limit: int | None = None,
) -> Iterator[Found]:
    """The materials that match.

    Parameters
    ----------
    order_by : a name, a leading ``-`` for the largest first; those without a value come last
    """
    query = sa.select(material, run.c.campaign).join(run, run.c.id == material.c.run_id)
    for row in _stream(connection, query, expression, order_by, limit):
        yield _found(row)


def candidates(
    connection: sa.Connection,
    expression: Expression | None = None,
    *,
    order_by: str | None = None,
    limit: int | None = None,
) -> Iterator[tuple[Found, Candidate]]:
    """As `find`, with their atoms."""
    query = (
        sa.select(material, run.c.campaign, geometry)
        .join(run, run.c.id == material.c.run_id)
        .join(geometry, geometry.c.material_id == material.c.id)
    )
    for row in _stream(connection, query, expression, order_by, limit):
        yield _found(row), candidate_of(row)


def statistics(connection: sa.Connection) -> list[dict[str, Any]]:
    """For each campaign: how its materials stand, the funnel, reasons, ranges, elements."""
    rows = connection.execute(sa.select(run).order_by(run.c.campaign)).mappings().all()
    return [_campaign_statistics(connection, row) for row in rows]


def _campaign_statistics(connection: sa.Connection, of: sa.RowMapping) -> dict[str, Any]:
    mine = material.c.run_id == of["id"]
    by_status = (
        sa.select(material.c.status, sa.func.count()).where(mine).group_by(material.c.status)
    )
    statuses = {status: n for status, n in connection.execute(by_status)}
    counts = {
        row["job"]: row
        for row in connection.execute(
            sa.select(job_count).where(job_count.c.run_id == of["id"])
        ).mappings()
    }
    jobs = [name for name, _ in of["jobs"]]
    return {
        "campaign": of["campaign"],
        "journal_position": of["position"],
        "updated": of["updated"].isoformat(timespec="seconds"),
        "materials": sum(statuses.values()),
        "status": dict(sorted(statuses.items())),
        "jobs": [
            {
                "job": job,
                **{
                    name: counts[job][name] if job in counts else 0
                    for name in ("came_out", "dropped", "quarantined")
                },
            }
            for job in [*jobs, *sorted(set(counts) - set(jobs))]
        ],
        "reasons": _reasons(connection, of["id"]),
        "ranges": _ranges(connection, mine),
        "elements": _elements(connection, mine),
    }


def _reasons(connection: sa.Connection, run_id: int) -> list[dict[str, Any]]:
    query = (
        sa.select(verdict_count)
        .where(verdict_count.c.run_id == run_id)
        .order_by(verdict_count.c.n.desc(), verdict_count.c.job, verdict_count.c.reason)
    )
    names = ("job", "step", "status", "reason", "n", "example_id", "example_detail")
    return [{name: row[name] for name in names} for row in connection.execute(query).mappings()]


def _ranges(connection: sa.Connection, mine: sa.ColumnElement[bool]) -> dict[str, dict[str, Any]]:
    numbers = [name for name, kind in WELL_KNOWN.items() if kind is ValueKind.NUMBER]
    asked = [
        ask(material.c[name])
        for name in numbers
        for ask in (sa.func.count, sa.func.min, sa.func.avg, sa.func.max)
    ]
    values = list(connection.execute(sa.select(*asked).where(mine)).one())
    ranges: dict[str, dict[str, Any]] = {}
    for i, name in enumerate(numbers):
        n, least, mean, most = values[4 * i : 4 * i + 4]
        if n:
            ranges[name] = {"n": n, "least": least, "mean": mean, "most": most}
    return ranges


def _elements(connection: sa.Connection, mine: sa.ColumnElement[bool]) -> dict[str, int]:
    n = sa.func.count().label("n")
    query = (
        sa.select(material_element.c.el, n)
        .join(material, material.c.id == material_element.c.material_id)
        .where(mine)
        .group_by(material_element.c.el)
        .order_by(n.desc(), material_element.c.el)
    )
    return {el: n for el, n in connection.execute(query)}


def _stream(
    connection: sa.Connection,
    query: sa.Select[Any],
    expression: Expression | None,
    order_by: str | None,
    limit: int | None,
) -> Iterator[sa.RowMapping]:
    query = _where(connection, query, expression)
    query = query.order_by(*_order(connection, order_by), material.c.id).limit(limit)
    options = {"yield_per": _ROWS_AT_ONCE}
    return iter(connection.execute(query, execution_options=options).mappings())


def _where(
    connection: sa.Connection, query: sa.Select[Any], expression: Expression | None
) -> sa.Select[Any]:
    if expression is None:
        return query
    return query.where(Translator(connection.dialect.name).condition(expression))


def _order(connection: sa.Connection, order_by: str | None) -> Iterator[sa.ColumnElement[Any]]:
    if order_by is None:
        return
    name = order_by.removeprefix("-")
    # The filters' parser knows the names, and the nearest one for a mistyped one.
    parse(f"{name} IS KNOWN", known=known_names(connection))
    translator = Translator(connection.dialect.name)
    for kind in (ValueKind.NUMBER, ValueKind.TEXT):
        value = translator.value(name, kind)
        if value is not None:
            yield sa.nulls_last(value.desc() if order_by.startswith("-") else value.asc())


def _found(row: sa.RowMapping) -> Found:
    return Found(
        campaign=row["campaign"],
        id=row["candidate_id"],
        formula=row["formula"],
        n_atoms=row["n_atoms"],
        stage=row["stage"],
        status=row["status"],
        verdict_job=row["verdict_job"],
        reason=row["reason"],
        detail=row["detail"],
        properties=properties_of(row),
    )
