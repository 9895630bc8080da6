"""Sinks: what they hear, batch by batch, through failures and restarts."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from stargen.calculators.contract import Arrived, Dropped, Quarantined
from stargen.clock import SystemClock
from stargen.codec import pack
from stargen.crystal import Drop, encode_drops
from stargen.errors import AnotherRun, JournalError, StoreRefused
from stargen.journal import Journal
from stargen.master import sink_process
from stargen.master.sink_process import Feeder
from stargen.master.sinks import SinkKeeper, SinkSpec
from stargen.model import Location
from stargen.records import (
    Alerted,
    CandidateQuarantined,
    FinishedRow,
    PassedRow,
    Routed,
    Selected,
    TasksFinished,
    encode,
)

JOBS = {"make": [], "some": ["make"], "best": ["some"]}
SELECTS = ["some", "best"]


def entry(name: str) -> bytes:
    clear = pack([name, b"", "X", 1, {}])
    return len(clear).to_bytes(4, "little") + clear


class Store:
    """A sink in memory that may refuse."""

    def __init__(self):
        self.at = 0
        self.items = []
        self.batches = 0
        self.refuse_at = -1
        self.closed = False

    def position(self):
        return self.at

    def write(self, items, position):
        if self.batches == self.refuse_at:
            raise OSError("locked")
        self.batches += 1
        self.items += items
        self.at = position

    def close(self):
        self.closed = True

    def heard(self):
        from stargen.crystal import envelope_of

        return [
            (item.job, envelope_of(item.entry).candidate_id)
            if isinstance(item, Arrived)
            else (item.job, item.drop.candidate_id, item.drop.reason)
            if isinstance(item, Dropped)
            else (item.job, item.candidate_id, item.reason)
            for item in self.items
        ]


def written(folder: Path, tasks: int = 4) -> int:
    """A journal of a source, a streaming select behind it and a ranking one behind that."""

    async def main():
        journal = Journal.open(folder, clock=SystemClock(), on_durable=lambda position: None)
        journal.append(encode(Alerted(0.0, "begun")))
        for task in range(tasks):
            names = [f"make/{2 * task}", f"make/{2 * task + 1}"]
            drops = encode_drops([Drop(f"make/x{task}", "odd")])
            entries = [entry(name) for name in names]
            at = journal.append_payload([*entries, drops])
            row = FinishedRow(
                task,
                1,
                task,
                1,
                at.segment,
                at.offset,
                [len(e) for e in entries],
                len(drops),
                {"odd": 1},
            )
            journal.append(encode(TasksFinished(1.0, 0, "n", [row])))
            journal.append(encode(Routed(1.0, 1, 0, 2 * task, [-1, 0], [], [], [])))
            journal.append(encode(Routed(1.0, 2, 0, task, [-1], [], [1.0], [])))
        journal.append(encode(Selected(2.0, 2, [PassedRow(0, 1)])))
        journal.append(encode(CandidateQuarantined(2.0, 0, 0, 99, 7, [], "burns")))
        where = Location(at.segment, at.offset, len(entries[0]))
        journal.append(encode(CandidateQuarantined(2.0, 0, 0, 6, 8, list(where), "smokes")))
        journal.append(encode(Alerted(3.0, "nothing for a sink")))
        await journal.close()
        return journal.position

    return asyncio.run(main())


WANTED = [
    *(
        each
        for task in range(4)
        for each in (
            ("make", f"make/{2 * task}"),
            ("make", f"make/{2 * task + 1}"),
            ("make", f"make/x{task}", "odd"),
            ("some", f"make/{2 * task + 1}"),
        )
    ),
    ("best", "make/3"),
    ("make", "make/99", "burns"),
    ("make", "make/6", "smokes"),
]


def test_a_sink_hears_everything_once_in_order(tmp_path):
    end = written(tmp_path)
    store, told = Store(), []
    Feeder(store, tmp_path, JOBS, SELECTS, stored=told.append).catch_up(end)
    assert store.heard() == WANTED
    assert store.at == end
    assert told == [0, end]
    kinds = {type(item) for item in store.items}
    assert kinds == {Arrived, Dropped, Quarantined}


def test_only_what_is_durable_is_told(tmp_path):
    end = written(tmp_path)
    store = Store()
    feeder = Feeder(store, tmp_path, JOBS, SELECTS, stored=lambda at: None)
    for durable in range(end + 1):
        feeder.catch_up(durable)
        assert store.at == durable
    assert store.heard() == WANTED


@pytest.mark.parametrize("dies_at", range(1, 7))
def test_a_sink_that_died_goes_on_exactly_where_its_store_ends(tmp_path, dies_at, monkeypatch):
    monkeypatch.setattr(sink_process, "BATCH_ITEMS", 2)
    end = written(tmp_path)
    store = Store()
    store.refuse_at = dies_at
    with pytest.raises(OSError, match="locked"):
        Feeder(store, tmp_path, JOBS, SELECTS, stored=lambda at: None).catch_up(end)
    store.refuse_at = -1
    Feeder(store, tmp_path, JOBS, SELECTS, stored=lambda at: None).catch_up(end)
    assert store.heard() == WANTED


def test_without_selects_only_what_is_new_is_read(tmp_path):
    written(tmp_path)
    store = Store()
    store.at = 5
    jobs = {"make": [], "other": ["make"], "third": ["other"]}
    feeder = Feeder(store, tmp_path, jobs, [], stored=lambda at: None)
    assert feeder._reader.position == 5
    feeder.catch_up(13)  # up to the records of the selects
    assert store.heard()[0] == ("make", "make/4")
    assert {heard[0] for heard in store.heard()} == {"make"}


def test_a_store_ahead_of_its_journal_is_refused(tmp_path):
    end = written(tmp_path)
    store = Store()
    store.at = end + 5
    with pytest.raises(JournalError, match="older copy"):
        Feeder(store, tmp_path, JOBS, SELECTS, stored=lambda at: None).catch_up(end)


def test_kill_points_stand_on_both_sides_of_a_commit(tmp_path):
    end = written(tmp_path)
    store, points = Store(), []

    def observe(point):
        points.append((point, store.at))

    Feeder(store, tmp_path, JOBS, SELECTS, stored=lambda at: None, observer=observe).catch_up(end)
    assert points == [("before-commit", 0), ("after-commit", end)]


def test_the_store_of_another_run_is_refused_before_anything_starts(tmp_path):
    script = tmp_path / "sink.py"
    script.write_text(
        """print('{"problem": "it holds another run", "refused": true}', flush=True)"""
    )
    spec = SinkSpec("database", "sqlite:///x.db", tmp_path, "c", {"make": []}, [], "run", tmp_path)

    async def main():
        sink = SinkKeeper(
            spec,
            durable=lambda: 1,
            alert=lambda text: None,
            command=(sys.executable, str(script)),
        )
        keeping = asyncio.create_task(sink.keep())
        try:
            await sink.meet(10.0)
        finally:
            keeping.cancel()
            await asyncio.wait((keeping,))

    with pytest.raises(StoreRefused, match="it holds another run"):
        asyncio.run(main())


def test_a_sink_that_says_nothing_holds_nobody_up(tmp_path):
    async def main():
        sink = keeper(tmp_path, lambda: 42, [])
        await sink.meet(0.05)  # its process was never started
        return sink.stored

    assert asyncio.run(main()) == 0


STAND_IN = """
import json, sys
path, crash = {path!r}, {crash}
try:
    lives = int(open(path + ".lives").read())
except OSError:
    lives = 0
open(path + ".lives", "w").write(str(lives + 1))
stored = 0
try:
    stored = int(open(path).read())
except OSError:
    pass
print(json.dumps(dict(stored=stored)), flush=True)
for line in sys.stdin:
    if lives < crash:
        print(json.dumps(dict(problem="database is locked")), flush=True)
        sys.exit(1)
    open(path, "w").write(line)
    print(json.dumps(dict(stored=int(line))), flush=True)
"""


def keeper(tmp_path, durable, alerts, crash=0):
    script = tmp_path / "sink.py"
    script.write_text(STAND_IN.format(path=str(tmp_path / "store"), crash=crash))
    spec = SinkSpec("database", "sqlite:///x.db", tmp_path, "c", {"make": []}, [], "run", tmp_path)
    return SinkKeeper(
        spec, durable=durable, alert=alerts.append, command=(sys.executable, str(script))
    )


def test_a_failing_sink_is_started_again_with_an_alert(tmp_path, monkeypatch):
    monkeypatch.setattr("stargen.master.sinks._FIRST_PAUSE_S", 0.05)
    alerts: list[str] = []

    async def main():
        sink = keeper(tmp_path, lambda: 42, alerts, crash=2)
        keeping = asyncio.create_task(sink.keep())
        await sink.finish(10.0)
        keeping.cancel()
        await asyncio.wait((keeping,))
        return sink

    sink = asyncio.run(main())
    assert (sink.stored, sink.missing, sink.shortfall()) == (42, 0, None)
    assert alerts == ["database (sqlite:///x.db): database is locked; it is tried again"]
    assert (tmp_path / "store.lives").read_text() == "3"


def test_what_a_sink_lacks_at_the_end_is_said(tmp_path):
    async def main():
        sink = keeper(tmp_path, lambda: 42, [], crash=99)
        keeping = asyncio.create_task(sink.keep())
        await sink.finish(0.5)
        keeping.cancel()
        await asyncio.wait((keeping,))
        return sink.shortfall()

    missing = asyncio.run(main())
    assert "lacks the last 42 of 42 records (database is locked)" in missing


def test_the_process_itself_reads_how_far_and_says_how_far(tmp_path, monkeypatch, capfd):
    end = written(tmp_path / "journal")
    store = Store()
    monkeypatch.setattr(
        sink_process.Registry, "load", lambda self, group, name: lambda *arguments: store
    )
    told = tmp_path / "stdin"
    told.write_text(f"3\n{end}\n")
    with told.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        spec = SinkSpec("database", "x", tmp_path / "journal", "c", JOBS, SELECTS, "run", tmp_path)
        code = sink_process.main(spec.arguments())
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert code == 0
    assert said[0] == {"stored": 0}
    assert said[-1] == {"stored": end}
    assert store.closed
    assert store.heard() == WANTED


def test_the_process_tells_a_refusal_from_trouble(tmp_path, monkeypatch, capfd):
    def refuse(*arguments):
        assert arguments == ("x", "c", JOBS, "run")
        raise AnotherRun("it is not yours")

    monkeypatch.setattr(sink_process.Registry, "load", lambda self, group, name: refuse)
    spec = SinkSpec("database", "x", tmp_path, "c", JOBS, SELECTS, "run", tmp_path)
    assert sink_process.main(spec.arguments()) == 1
    assert json.loads(capfd.readouterr().out) == {"problem": "it is not yours", "refused": True}
