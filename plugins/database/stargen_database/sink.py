"""The sink `database`: a campaign's candidates into the tables, in the journal's order.

Rows and the journal's position go in one transaction, so that after any crash the sink goes on
where its data end; a deleted database starts at 0 and is rebuilt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa

from stargen.calculators.contract import Arrived, Dropped, Quarantined, SinkItem
from stargen.crystal import Drop, Envelope, decode_entry, envelope_of
from stargen.errors import AnotherRun, UserError
from stargen_database.engines import explained, open_writer, parse_url, sqlite_file
from stargen_database.rows import geometry_columns, properties_of, property_columns
from stargen_database.schema import (
    geometry,
    job_count,
    material,
    material_element,
    property_name,
    run,
    verdict_count,
)
from stargen_database.standing import DROPPED, QUARANTINED, Jobs, Standing

_IDS_PER_QUERY = 500


class _Verdict(NamedTuple):
    """What verdicts are counted by."""

    job: str
    step: str
    status: str
    reason: str


class DatabaseSink:
    """Writes one campaign's candidates; several campaigns may share a database.

    Parameters
    ----------
    url : sqlite:///file.db or postgresql+psycopg://...
    campaign_name : whose candidates
    jobs : {job: its inputs}, upstream jobs first
    run_key : names the journal that the candidates come from
    busy_timeout_s : how long SQLite waits for others before it says that the database is locked

    Raises
    ------
    UserError : if the database cannot be used; AnotherRun if it holds what a campaign of the same
        name wrote from another journal
    """

    def __init__(
        self,
        url: str,
        campaign_name: str,
        jobs: Mapping[str, Sequence[str]],
        run_key: str,
        *,
        busy_timeout_s: float = 30.0,
    ) -> None:
        self._url = parse_url(url)
        self._jobs = Jobs(jobs)
        self._run_key = run_key
        self._engine = open_writer(self._url, busy_timeout_s=busy_timeout_s)
        self._file = self._file_id()
        self._names: set[str] = set()
        with explained(self._url), self._engine.begin() as connection:
            self._run_id = self._register(connection, campaign_name)
        self.position()

    def position(self) -> int:
        with explained(self._url), self._engine.begin() as connection:
            query = sa.select(run.c.position).where(run.c.id == self._run_id)
            self._position = connection.execute(query).scalar_one()
        return self._position

    def write(self, items: Sequence[SinkItem], position: int) -> None:
        if self._file_id() != self._file:
            raise UserError(
                "the database was deleted or replaced while in use",
                file=sqlite_file(self._url),
                hint="it is opened anew and rebuilt from the campaign's journal",
            )
        with explained(self._url), self._engine.begin() as connection:
            self._advance(connection, position)
            standings = self._load(connection, {_id_of(item) for item in items})
            self._count(connection, items)
            self._fold(items, standings)
            self._store(connection, list(standings.values()))
        self._position = position

    def close(self) -> None:
        self._engine.dispose()

    def _advance(self, connection: sa.Connection, position: int) -> None:
        """Move the position, from where this sink left it and from nowhere else.

        A sink whose master was killed finishes its batch while the next master's is at work
        already: the one that comes second must not store the same items again.
        """
        moved = connection.execute(
            run.update()
            .where(
                run.c.id == self._run_id,
                run.c.run_key == self._run_key,
                run.c.position == self._position,
            )
            .values(position=position, updated=datetime.now(UTC))
        )
        if not moved.rowcount:
            raise UserError(
                "another process has written this campaign's candidates meanwhile",
                hint="the sink goes on from where that one came to",
            )

    def _file_id(self) -> tuple[int, int] | None:
        path = sqlite_file(self._url)
        if path is None:
            return None
        try:
            status = path.stat()
        except FileNotFoundError:
            return (0, 0)
        return (status.st_dev, status.st_ino)

    def _register(self, connection: sa.Connection, campaign: str) -> int:
        jobs = [[name, list(inputs)] for name, inputs in self._jobs.inputs.items()]
        now = {"jobs": jobs, "run_key": self._run_key}
        query = sa.select(run).where(run.c.campaign == campaign)
        found = connection.execute(query).mappings().first()
        if found is None:
            made = run.insert().values(
                campaign=campaign, position=0, updated=datetime.now(UTC), **now
            )
            return connection.execute(made).inserted_primary_key[0]
        if found["run_key"] != self._run_key and found["position"]:
            raise self._of_another_run(found)
        connection.execute(run.update().where(run.c.id == found["id"]).values(**now))
        return found["id"]

    def _of_another_run(self, found: Mapping[str, Any]) -> AnotherRun:
        file = sqlite_file(self._url)
        away = f"delete or rename {file}" if file else "delete its rows"
        return AnotherRun(
            f"{self._url.render_as_string(hide_password=True)} holds what another run of campaign "
            f"{found['campaign']} found: {found['position']} records of its journal, the last "
            f"written on {found['updated']:%Y-%m-%d %H:%M} UTC",
            hint=f"name another file or server in `database = ...`, or {away} if nobody needs it",
        )

    def _load(self, connection: sa.Connection, ids: Iterable[str]) -> dict[str, Standing]:
        """What the database knows of these candidates; the others are new."""
        standings = {name: Standing(name) for name in sorted(ids)}
        for names in _chunks(standings):
            query = sa.select(material).where(
                material.c.run_id == self._run_id, material.c.candidate_id.in_(names)
            )
            for row in connection.execute(query).mappings():
                standing = standings[row["candidate_id"]]
                standing.row_id, standing.stored_formula = row["id"], row["formula"]
                standing.stage = row["stage"]
                standing.status, standing.verdict_job = row["status"], row["verdict_job"]
                standing.reason, standing.detail = row["reason"], row["detail"]
                standing.properties = properties_of(row)
                standing.envelope = Envelope(
                    row["candidate_id"],
                    row["structure_hash"],
                    row["formula"],
                    row["n_atoms"],
                    standing.properties,
                )
        return standings

    def _fold(self, items: Sequence[SinkItem], standings: Mapping[str, Standing]) -> None:
        for item in items:
            standing = standings[_id_of(item)]
            match item:
                case Arrived(job, entry):
                    standing.arrive(job, envelope_of(entry), entry, self._jobs)
                case Dropped(job, drop):
                    standing.end(DROPPED, job, drop, self._jobs)
                case Quarantined(job, name, reason):
                    standing.end(QUARANTINED, job, Drop(name, reason), self._jobs)

    def _store(self, connection: sa.Connection, standings: list[Standing]) -> None:
        """New rows and changed ones; a candidate that never arrived has none, it is but counted."""
        known = [one for one in standings if one.envelope is not None]
        fresh = [one for one in known if one.row_id is None]
        changed = [one for one in known if one.row_id is not None]
        if fresh:
            connection.execute(material.insert(), [self._row(one) for one in fresh])
            self._learn_keys(connection, {one.candidate_id: one for one in fresh})
        if changed:
            names = [name for name in self._row(changed[0]) if name != "run_id"]
            query = (
                material.update()
                .where(material.c.id == sa.bindparam("key"))
                .values({name: sa.bindparam(name) for name in names})
            )
            connection.execute(query, [{**self._row(one), "key": one.row_id} for one in changed])
        self._store_atoms(connection, known)
        self._store_names(connection, known)

    def _learn_keys(self, connection: sa.Connection, fresh: Mapping[str, Standing]) -> None:
        """Ask for new rows' keys afterwards: inserts that return them go one by one in SQLite."""
        for names in _chunks(fresh):
            query = sa.select(material.c.candidate_id, material.c.id).where(
                material.c.run_id == self._run_id, material.c.candidate_id.in_(names)
            )
            for name, key in connection.execute(query):
                fresh[name].row_id = key

    def _row(self, standing: Standing) -> dict[str, Any]:
        envelope = standing.envelope
        assert envelope is not None
        return {
            "run_id": self._run_id,
            "candidate_id": standing.candidate_id,
            "formula": envelope.formula,
            "n_atoms": envelope.n_atoms,
            "n_elements": len(envelope.elements),
            "structure_hash": envelope.structure_hash,
            "stage": standing.stage,
            "status": standing.status,
            "verdict_job": standing.verdict_job,
            "reason": standing.reason,
            "detail": standing.detail,
            **property_columns(standing.properties),
        }

    def _store_atoms(self, connection: sa.Connection, standings: list[Standing]) -> None:
        moved = [one for one in standings if one.entry is not None]
        atoms = [
            {"material_id": one.row_id, **geometry_columns(decode_entry(one.entry or b""))}
            for one in moved
        ]
        elements = [
            {"el": symbol, "material_id": one.row_id}
            for one in moved
            if one.envelope is not None and one.envelope.formula != one.stored_formula
            for symbol in one.envelope.elements
        ]
        elements.sort(key=lambda row: (row["el"], row["material_id"]))  # cheap in order of the key
        for table, rows in ((geometry, atoms), (material_element, elements)):
            for keys in _chunks(sorted({row["material_id"] for row in rows})):
                connection.execute(table.delete().where(table.c.material_id.in_(keys)))
            if rows:
                connection.execute(table.insert(), rows)

    def _store_names(self, connection: sa.Connection, standings: list[Standing]) -> None:
        """Remember which properties there are, for filters to be checked against."""
        names = {
            name for one in standings for name, value in one.properties.items() if value is not None
        } - self._names
        if not names:
            return
        query = sa.select(property_name.c.name).where(property_name.c.name.in_(sorted(names)))
        missing = names - set(connection.execute(query).scalars())
        if missing:
            connection.execute(property_name.insert(), [{"name": name} for name in sorted(missing)])
        self._names |= names

    def _count(self, connection: sa.Connection, items: Sequence[SinkItem]) -> None:
        jobs: Counter[tuple[str, str]] = Counter()
        verdicts: Counter[_Verdict] = Counter()
        examples: dict[_Verdict, Drop] = {}
        for item in items:
            if isinstance(item, Arrived):
                jobs[item.job, "came_out"] += 1
                continue
            status = DROPPED if isinstance(item, Dropped) else QUARANTINED
            drop = item.drop if isinstance(item, Dropped) else Drop(item.candidate_id, item.reason)
            verdict = _Verdict(item.job, drop.step, status, drop.reason)
            jobs[item.job, status] += 1
            verdicts[verdict] += 1
            examples.setdefault(verdict, drop)
        for job in sorted({job for job, _ in jobs}):
            key = {"run_id": self._run_id, "job": job}
            fields = ("came_out", DROPPED, QUARANTINED)
            _add(connection, job_count, key, {field: jobs[job, field] for field in fields})
        for verdict in sorted(verdicts):
            key = {"run_id": self._run_id, **verdict._asdict()}
            drop = examples[verdict]
            example = {"example_id": drop.candidate_id, "example_detail": drop.detail}
            _add(connection, verdict_count, key, {"n": verdicts[verdict]}, example)


def _add(
    connection: sa.Connection,
    table: sa.Table,
    key: Mapping[str, Any],
    counts: Mapping[str, int],
    constants: Mapping[str, str] | None = None,
) -> None:
    """Add to the counts of one row, made with `constants` if it is new."""
    row = sa.and_(*(table.c[name] == value for name, value in key.items()))
    more = {name: table.c[name] + count for name, count in counts.items()}
    if not connection.execute(table.update().where(row).values(more)).rowcount:
        connection.execute(table.insert().values({**key, **counts, **(constants or {})}))


def _id_of(item: SinkItem) -> str:
    match item:
        case Arrived(_, entry):
            return envelope_of(entry).candidate_id
        case Dropped(_, drop):
            return drop.candidate_id
        case Quarantined(_, candidate_id, _):
            return candidate_id


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    """At most `_IDS_PER_QUERY` at a time: servers bound the parameters of a query."""
    left = iter(values)
    while chunk := list(islice(left, _IDS_PER_QUERY)):
        yield chunk
