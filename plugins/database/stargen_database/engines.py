"""Opening a database, and saying in plain words why it cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine, make_url

from stargen.errors import StoreRefused, UserError
from stargen.files import filesystem_of
from stargen_database.schema import SCHEMA_VERSION, about, metadata

_SCHEMA_LOCK = 0x73746172  # PostgreSQL: one sink at a time makes the tables


def parse_url(url: str) -> URL:
    """The database's address.

    Raises
    ------
    StoreRefused : if it is none that we can use
    """
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreRefused(
            f"{url!r} is not the URL of a database",
            hint="write sqlite:///results.db or postgresql+psycopg://user@host/name",
        )
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if not parsed.database or parsed.database == ":memory:":
        raise StoreRefused("a database in memory is lost", hint="write sqlite:///results.db")
    return parsed


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite database; None for a server."""
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def open_writer(url: URL, *, busy_timeout_s: float) -> Engine:
    """An engine whose transactions write, with the schema in place.

    SQLite keeps a write-ahead log, so that readers and the writer do not wait for each other. That
    log needs memory shared between processes, which no network file system gives: there a plain
    rollback journal serves.

    Raises
    ------
    UserError : if the database cannot be used; StoreRefused if another version of Star-gen made it
    """
    path = sqlite_file(url)
    if path is None:
        engine = sa.create_engine(url)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        engine = _sqlite(url, path, busy_timeout_s, begin="BEGIN IMMEDIATE", write=True)
    with explained(url):
        _ensure_schema(engine)
    return engine


def open_reader(url: URL) -> Engine:
    """An engine for looking.

    Raises
    ------
    UserError : if there is no such database, or it is not one of ours
    """
    path = sqlite_file(url)
    if path is None:
        engine = sa.create_engine(url, execution_options={"postgresql_readonly": True})
    elif path.is_file():
        engine = _sqlite(url, path, 30.0, begin="BEGIN", write=False)
    else:
        raise UserError("there is no such database", file=path)
    with explained(url), engine.connect() as connection:
        if not sa.inspect(connection).has_table(about.name):
            raise UserError(f"{_name(url)} is no database of Star-gen")
        _check_version(connection)
    return engine


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Turn the driver's errors into ones that a person can act on."""
    try:
        yield
    except (sa.exc.IntegrityError, sa.exc.DataError):
        raise  # a bug of ours, not a state of the server
    except sa.exc.DBAPIError as error:
        text = str(error.orig).strip()
        raise UserError(f"{_name(url)}: {text}", hint=_advice(text)) from error


def _name(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _advice(text: str) -> str | None:
    if "locked" in text or "busy" in text:
        return "another process holds a transaction open on it; end that one, nothing is lost here"
    if "disk is full" in text or "No space left" in text:
        return "make room on its disk, nothing is lost here"
    if "malformed" in text or "not a database" in text:
        return "the file is damaged: move it away, it is rebuilt from the campaign's journal"
    if "readonly" in text or "unable to open" in text:
        return "are the file and its folder yours to write?"
    return None


def _sqlite(url: URL, path: Path, busy_timeout_s: float, *, begin: str, write: bool) -> Engine:
    engine = sa.create_engine(url, connect_args={"timeout": busy_timeout_s})
    network = filesystem_of(path).network

    @sa.event.listens_for(engine, "connect")
    def configure(connection, record) -> None:  # noqa: ANN001 - the driver's own types
        connection.isolation_level = None  # the driver begins nothing by itself
        if write:
            connection.execute(f"PRAGMA journal_mode={'DELETE' if network else 'WAL'}")
            # Power loss may cost the last commits of a write-ahead log, but never its order: the
            # journal's position goes with them, and they are written again.
            connection.execute(f"PRAGMA synchronous={'FULL' if network else 'NORMAL'}")
            connection.execute("PRAGMA cache_size=-65536")
        else:
            connection.execute("PRAGMA query_only=ON")

    @sa.event.listens_for(engine, "begin")
    def start(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _ensure_schema(engine: Engine) -> None:
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
        if sa.inspect(connection).has_table(about.name):
            _check_version(connection)
            return
        metadata.create_all(connection)
        connection.execute(about.insert().values(schema_version=SCHEMA_VERSION))


def _check_version(connection: sa.Connection) -> None:
    found = connection.execute(sa.select(about.c.schema_version)).scalar()
    if found != SCHEMA_VERSION:
        raise StoreRefused(
            f"{_name(connection.engine.url)} has schema {found}, this version reads "
            f"{SCHEMA_VERSION}",
            hint="use the version of Star-gen that wrote it, or name another database: it is "
            "built anew from the campaign's journal",
        )
