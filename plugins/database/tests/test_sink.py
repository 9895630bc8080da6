import signal
import sqlite3
import subprocess
import sys
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from stargen_database import engines
from stargen_database.engines import open_reader, parse_url
from stargen_database.queries import candidates, find, statistics
from stargen_database.schema import geometry, material_element
from stargen_database.sink import DatabaseSink

from stargen.calculators.contract import Quarantined
from stargen.errors import AnotherRun, StoreRefused, UserError
from stargen.expressions import parse
from stargen.files import Filesystem

JOBS = {"make": [], "screen": ["make"], "relax": ["screen"]}


def read(url, ask):
    engine = open_reader(parse_url(url))
    try:
        with engine.connect() as connection:
            return ask(connection)
    finally:
        engine.dispose()


def all_of(url):
    return {one.id: one for one in read(url, lambda connection: list(find(connection)))}


def test_what_was_written_is_read_back(sink, url, make, arrived):
    one = make("make/0", (3, 3, 8), e_above_hull=0.1 + 0.2, spacegroup=225, label="ä", flag=True)
    sink.write([arrived("make", one)], 7)
    assert sink.position() == 7
    ((found, back),) = read(url, lambda connection: list(candidates(connection)))
    assert back.crystal == one.crystal
    assert back.properties == one.properties
    assert back.provenance == one.provenance
    assert np.array_equal(back.data["dos"], one.data["dos"])
    assert (found.formula, found.n_atoms, found.campaign) == ("Li2O", 3, "test")


def test_a_candidate_has_one_row_that_follows_it(sink, url, make, arrived):
    sink.write([arrived("make", make("make/0", (3, 8), x=1, y=1))], 1)
    assert (all_of(url)["make/0"].stage, all_of(url)["make/0"].status) == ("make", "alive")
    sink.write([arrived("screen", make("make/0", (3, 8), x=2, z=3))], 2)
    moved = make("make/0", (3, 3, 8), e_above_hull=0.0)
    sink.write([arrived("relax", moved)], 3)
    found = all_of(url)
    assert list(found) == ["make/0"]
    assert (found["make/0"].stage, found["make/0"].status) == ("relax", "kept")
    assert found["make/0"].formula == "Li2O"
    assert found["make/0"].properties == {"x": 2, "y": 1, "z": 3, "e_above_hull": 0.0}
    ((_, back),) = read(url, lambda connection: list(candidates(connection)))
    assert back.crystal == moved.crystal


def test_a_candidate_may_come_twice_in_one_batch(sink, url, make, arrived, dropped):
    one, two = make("make/0"), make("make/1")
    sink.write(
        [
            arrived("make", one),
            arrived("make", two),
            arrived("screen", one),
            dropped("screen", "make/1", "charge", "no states", "filters.charge"),
            arrived("relax", one),
        ],
        1,
    )
    found = all_of(url)
    assert found["make/0"].status == "kept"
    assert (found["make/1"].status, found["make/1"].verdict_job) == ("dropped", "screen")
    assert (found["make/1"].reason, found["make/1"].detail) == ("charge", "no states")


def test_elements_follow_the_formula(sink, url, make, arrived):
    sink.write([arrived("make", make("make/0", (3, 8)))], 1)
    sink.write([arrived("screen", make("make/0", (11, 17)))], 2)

    def elements(connection):
        return set(connection.execute(sa.select(material_element.c.el)).scalars())

    assert read(url, elements) == {"Na", "Cl"}
    assert len(read(url, lambda c: list(find(c, parse('elements HAS ALL "Na","Cl"'))))) == 1
    assert not read(url, lambda c: list(find(c, parse('elements HAS "Li"'))))


def test_absent_values_are_absent_and_strange_ones_find_a_place(sink, url, make, arrived):
    odd = make("make/0", e_above_hull=nan, band_gap="wide", x=inf, y=None, z="a\0b", n=2**60)
    sink.write([arrived("make", odd)], 1)
    assert all_of(url)["make/0"].properties == {"band_gap": "wide", "z": "a�b", "n": 2**60}


def test_verdicts_are_counted_with_an_example(sink, url, make, arrived, dropped):
    sink.write([arrived("make", make(f"make/{i}")) for i in range(4)], 1)
    sink.write([dropped("make", "make/9", "unreadable", "line 3")], 2)
    sink.write([dropped("screen", f"make/{i}", "charge", "", "filters.charge") for i in (1, 2)], 3)
    sink.write([Quarantined("screen", "make/3", "segfault")], 4)
    sink.write([dropped("screen", "make/0", "charge", "", "filters.charge")], 5)
    (found,) = read(url, statistics)
    assert found["campaign"] == "test"
    assert found["journal_position"] == 5
    assert found["materials"] == 4
    assert found["status"] == {"dropped": 3, "quarantined": 1}
    counts = {row.pop("job"): row for row in found["jobs"]}
    assert list(counts) == ["make", "screen", "relax"]
    assert counts["make"] == {"came_out": 4, "dropped": 1, "quarantined": 0}
    assert counts["screen"] == {"came_out": 0, "dropped": 3, "quarantined": 1}
    first = found["reasons"][0]
    assert (first["n"], first["reason"], first["step"]) == (3, "charge", "filters.charge")
    assert first["example_id"] == "make/1"
    assert {row["reason"] for row in found["reasons"]} == {"charge", "unreadable", "segfault"}
    assert found["elements"] == {"Li": 4, "O": 4}


def test_a_batch_that_fails_leaves_all_as_it_was(sink, url, make, arrived, monkeypatch):
    sink.write([arrived("make", make("make/0"))], 1)

    def fail(*_):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(sink, "_store_names", fail)
    with pytest.raises(RuntimeError):
        sink.write([arrived("screen", make("make/0")), arrived("make", make("make/1"))], 2)
    monkeypatch.undo()
    assert sink.position() == 1
    assert all_of(url)["make/0"].stage == "make"
    (found,) = read(url, statistics)
    assert found["jobs"][0]["came_out"] == 1
    sink.write([arrived("screen", make("make/0")), arrived("make", make("make/1"))], 2)
    assert len(all_of(url)) == 2


def test_a_new_sink_goes_on_where_the_data_end(sink, url, make, arrived):
    sink.write([arrived("make", make("make/0"))], 5)
    sink.close()
    again = DatabaseSink(url, "test", {**JOBS, "more": ["relax"]}, "run")
    assert again.position() == 5
    again.write([arrived("relax", make("make/0"))], 6)
    assert all_of(url)["make/0"].status == "alive"  # `relax` is no longer last
    again.close()


def test_the_second_of_two_writers_stores_nothing_twice(sink, url, make, arrived):
    sink.write([arrived("make", make("make/0"))], 1)
    other = DatabaseSink(url, "test", JOBS, "run")
    other.write([arrived("make", make("make/1"))], 2)
    with pytest.raises(UserError, match="another process has written"):
        sink.write([arrived("make", make("make/1"))], 2)
    (found,) = read(url, statistics)
    assert found["jobs"][0]["came_out"] == 2
    assert sink.position() == 2
    sink.write([arrived("make", make("make/2"))], 3)
    assert len(all_of(url)) == 3
    other.close()


def test_campaigns_share_a_database_and_do_not_mix(sink, url, make, arrived):
    sink.write([arrived("make", make("make/0", x=1))], 3)
    other = DatabaseSink(url, "other", {"make": []}, "run")
    assert other.position() == 0
    other.write([arrived("make", make("make/0", x=2))], 8)
    other.close()
    assert sink.position() == 3
    rows = read(url, lambda c: list(find(c, parse('id = "make/0"'), order_by="x")))
    assert [(row.campaign, row.status) for row in rows] == [("test", "alive"), ("other", "kept")]
    assert len(read(url, lambda c: list(find(c, parse('campaign = "other"'))))) == 1


def test_a_database_of_another_run_is_refused_and_left_alone(sink, url, make, arrived):
    sink.write([arrived("make", make("make/0"))], 938)
    with pytest.raises(AnotherRun, match="another run of campaign test found: 938 records") as told:
        DatabaseSink(url, "test", JOBS, "later")
    assert "database = " in told.value.hint
    again = DatabaseSink(url, "test", JOBS, "run")
    assert again.position() == 938
    again.close()


def test_a_run_that_stored_nothing_holds_nobody_up(sink, url, make, arrived):
    later = DatabaseSink(url, "test", JOBS, "later")
    with pytest.raises(UserError, match="another process has written"):
        sink.write([arrived("make", make("make/0"))], 1)
    later.write([arrived("make", make("make/0"))], 1)
    assert len(all_of(url)) == 1
    later.close()


def test_many_at_once(sink, url, make, arrived):
    sink.write([arrived("make", make(f"make/{i}", x=i)) for i in range(1300)], 1)
    sink.write([arrived("screen", make(f"make/{i}", y=i)) for i in range(1300)], 2)
    assert len(all_of(url)) == 1300
    assert all(one.properties["x"] == one.properties["y"] for one in all_of(url).values())
    count = sa.select(sa.func.count()).select_from(geometry)
    assert read(url, lambda c: c.execute(count).scalar()) == 1300


# --- SQLite's own ways ------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    return tmp_path / "results.db"


def sqlite(file, **options):
    return DatabaseSink(f"sqlite:///{file}", "test", JOBS, "run", **options)


def test_a_locked_database_is_told_after_a_wait_and_nothing_is_lost(file, make, arrived):
    sink = sqlite(file, busy_timeout_s=0.1)
    sink.write([arrived("make", make("make/0"))], 1)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UserError, match="locked") as caught:
        sink.write([arrived("make", make("make/1"))], 2)
    assert "another process" in caught.value.hint
    other.execute("ROLLBACK")
    other.close()
    sink.write([arrived("make", make("make/1"))], 2)
    assert sink.position() == 2
    sink.close()


def test_readers_and_the_writer_do_not_wait_for_each_other(file, make, arrived):
    sink = sqlite(file, busy_timeout_s=0.1)
    sink.write([arrived("make", make("make/0"))], 1)
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM material").fetchone() == (1,)
    sink.write([arrived("make", make("make/1"))], 2)
    assert reader.execute("SELECT count(*) FROM material").fetchone() == (1,)
    reader.execute("COMMIT")
    assert reader.execute("SELECT count(*) FROM material").fetchone() == (2,)
    reader.close()
    sink.close()


def test_a_deleted_database_is_noticed_and_starts_at_nought(file, make, arrived):
    sink = sqlite(file)
    sink.write([arrived("make", make("make/0"))], 4)
    for path in file.parent.glob("results.db*"):
        path.unlink()
    with pytest.raises(UserError, match="deleted or replaced"):
        sink.write([arrived("make", make("make/1"))], 5)
    sink.close()
    again = sqlite(file)
    assert again.position() == 0
    again.close()


def test_a_log_left_behind_does_not_come_back(file, make, arrived):
    sink = sqlite(file)
    sink.write([arrived("make", make("make/0"))], 4)
    file.unlink()  # but not results.db-wal
    again = sqlite(file)
    assert again.position() == 0
    again.close()
    sink.close()


def test_no_shared_memory_is_asked_of_a_network_file_system(file, monkeypatch, make, arrived):
    nfs = Filesystem(kind="nfs4", mount=file.parent, network=True)
    monkeypatch.setattr(engines, "filesystem_of", lambda path: nfs)
    sink = sqlite(file)
    sink.write([arrived("make", make("make/0"))], 1)
    assert not list(file.parent.glob("results.db-*"))
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    sink.close()


def test_a_database_of_another_version_or_another_program_is_refused(file):
    sqlite(file).close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE stargen SET schema_version = 99")
    for opening in (lambda: sqlite(file), lambda: open_reader(parse_url(f"sqlite:///{file}"))):
        with pytest.raises(UserError, match="has schema 99, this version reads"):
            opening()
    stranger = file.with_name("other.db")
    with sqlite3.connect(stranger) as connection:
        connection.execute("CREATE TABLE letters (x)")
    with pytest.raises(UserError, match="no database of Star-gen"):
        open_reader(parse_url(f"sqlite:///{stranger}"))
    file.with_name("note.db").write_text("this is a letter and no database at all" * 100)
    with pytest.raises(UserError, match="not a database"):
        sqlite(file.with_name("note.db"))


def test_an_url_that_is_none_is_refused_with_an_example():
    for url in ("results.db", "mysql://x/y", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(StoreRefused, match="database") as caught:
            parse_url(url)
        assert "sqlite:///results.db" in caught.value.hint


def test_looking_makes_no_file(tmp_path):
    with pytest.raises(UserError, match="no such database"):
        open_reader(parse_url(f"sqlite:///{tmp_path}/none.db"))
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_not_there_is_told():
    url = parse_url("postgresql://stargen:secret@127.0.0.1:1/none")
    with pytest.raises(UserError) as caught:
        open_reader(url)
    assert "secret" not in str(caught.value)


def test_a_killed_writer_leaves_whole_batches(tmp_path):
    url = f"sqlite:///{tmp_path}/results.db"
    script = Path(__file__).with_name("keep_writing.py")
    last = 0
    for lives in range(1, 4):
        process = subprocess.Popen([sys.executable, script, url], stdout=subprocess.PIPE, text=True)
        for _ in range(5 * lives):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        sink = DatabaseSink(url, "test", JOBS, "run")
        position = sink.position()
        sink.close()
        assert position >= last
        assert len(all_of(url)) == 10 * position
        (found,) = read(url, statistics)
        assert found["jobs"][0]["came_out"] == 10 * position
