"""What the tests of this plugin share: candidates, and a database of either kind."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from stargen_database.sink import DatabaseSink

from stargen import Candidate, Crystal
from stargen.calculators.contract import Arrived, Dropped
from stargen.crystal import Drop, encode_entry
from stargen.provenance import Provenance

JOBS = {"make": [], "screen": ["make"], "relax": ["screen"]}


def _postgresql_programs():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    on_path = shutil.which("initdb")
    return found[-1] if found else Path(on_path).parent if on_path else None


@pytest.fixture(scope="session")
def postgresql():
    """URL of a server of our own, reached through a socket in a private folder."""
    programs = _postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    user = None
    if os.getuid() == 0:  # initdb refuses root
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = next((name for name in ("postgres", "nobody") if name in names), None)
        if user is None:
            pytest.skip("PostgreSQL refuses to run as root, and there is no other user")
    folder = Path(tempfile.mkdtemp(prefix="sg-pg-"))
    if user:
        shutil.chown(folder, user)

    def run(program, *arguments):
        command = [programs / program, *arguments]
        done = subprocess.run(
            command, user=user, cwd=folder, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr

    data = folder / "data"
    try:
        # A language of its own shows whether texts are compared by code point all the same.
        language = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
        run("initdb", "-D", data, "-U", "stargen", "--auth=trust", "--no-sync", *language)
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql://stargen@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def empty_postgresql(postgresql):
    engine = sa.create_engine(postgresql.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
    return postgresql


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/results.db"
    return request.getfixturevalue("empty_postgresql")


@pytest.fixture
def sink(url):
    made = DatabaseSink(url, "test", JOBS, "run")
    yield made
    made.close()


@pytest.fixture
def make():
    return candidate


@pytest.fixture
def arrived():
    return lambda job, one: Arrived(job, encode_entry(one))


@pytest.fixture
def dropped():
    return lambda job, name, reason, detail="", step="": Dropped(
        job, Drop(name, reason, detail, step)
    )


def candidate(name, numbers=(3, 8), **properties):
    n = len(numbers)
    rng = np.random.default_rng(n)
    crystal = Crystal.of(np.eye(3) * 4 + rng.normal(0, 0.1, (3, 3)), rng.random((n, 3)), numbers)
    step = Provenance("make.it", "1.0", "make", "abc", 7, {"tool": "moyo"})
    data = {"dos": np.arange(3.0), "label": b"raw"}
    return Candidate(name, crystal, properties, data, (step,))
