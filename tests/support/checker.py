"""An independent reader: proves from the journal alone that every candidate has exactly one fate.

It shares with the product only the forms in which things are written (frames, records, entries),
and none of the code that decides, replays or counts.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stargen import records
from stargen.crystal import Drop, decode_drops, envelope_of
from stargen.journal import read_records
from stargen.journal.entries import EntryFiles
from stargen.model import Location

Attempt = tuple[int, int]
"""(epoch, n)"""


@dataclass
class Fate:
    """What a task's range came to."""

    lane: int
    lo: int
    hi: int
    children: list[str] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    end_of_source: int | None = None
    attempt: Attempt = (0, 0)
    epoch: int = 0
    """Of the master that accepted it; an attempt of an older epoch was sent by another one."""


@dataclass
class Content:
    """What a calculation made of a candidate, apart from where and when."""

    structure: str
    properties: dict[str, Any]


@dataclass
class JobBook:
    """One job, as the journal tells it."""

    name: str
    shape: str
    inputs: list[int]
    total: int | None
    ranges: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    attempts: dict[int, set[Attempt]] = field(default_factory=dict)
    fates: dict[int, Fate] = field(default_factory=dict)
    split: set[int] = field(default_factory=set)
    failed: dict[int, list[Attempt]] = field(default_factory=dict)
    quarantined: list[tuple[int, int, str]] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    stream: list[Location] = field(default_factory=list)
    routed: list[int] = field(default_factory=list)
    lanes: dict[int, list[Location]] = field(default_factory=dict)
    order: list[tuple[str, int, int]] = field(default_factory=list)
    selected: list[tuple[int, int]] = field(default_factory=list)
    source_end: int | None = None
    closed: str | None = None

    @property
    def is_select(self) -> bool:
        return self.shape == "select"


class Books:
    """A campaign's journal, read from its first record to its last.

    Parameters
    ----------
    journal : the journal's folder
    """

    def __init__(self, journal: Path) -> None:
        self.jobs: list[JobBook] = []
        self.position = 0
        self.epochs: list[int] = []
        self.agents: list[tuple[str, str, int]] = []
        """(node, agent id, incarnation) each time that one attached."""
        self.endings: list[str] = []
        self.alerts: list[str] = []
        self.late = 0
        self._entries = EntryFiles(journal)
        self._names: dict[Location, str] = {}
        self._reopened = set[int]()
        for position, record in self.told(journal):
            self.position = position
            take = getattr(self, f"_on_{type(record).__name__}", None)
            if take is not None:
                take(record)
        self.by_name = {job.name: job for job in self.jobs}

    # --- reading ----------------------------------------------------------------------------------

    def told(self, journal: Path) -> Iterator[tuple[int, Any]]:
        """Position and record, one after another."""
        for position, body in read_records(journal):
            yield position, records.decode(body)

    def entry(self, location: Location) -> bytes:
        return self._entries.read(location)

    def name_of(self, location: Location) -> str:
        """The id of the candidate that lies there."""
        if location not in self._names:
            self._names[location] = envelope_of(self.entry(location)).candidate_id
        return self._names[location]

    def _on_EpochStarted(self, r: records.EpochStarted) -> None:
        assert not self.epochs or r.epoch > self.epochs[-1], "epochs do not rise"
        self.epochs.append(r.epoch)

    def _on_PlanAdopted(self, r: records.PlanAdopted) -> None:
        rows = zip(r.jobs, r.graph, strict=True)
        books = [JobBook(name, row.shape, list(row.inputs), row.total) for name, row in rows]
        for old, new in zip(self.jobs, books, strict=False):
            assert (old.name, old.shape, old.inputs) == (new.name, new.shape, new.inputs)
        self.jobs += books[len(self.jobs) :]

    def _on_NodeJoined(self, r: records.NodeJoined) -> None:
        self.agents.append((r.node, r.agent_id, r.incarnation))

    def _on_TasksAssigned(self, r: records.TasksAssigned) -> None:
        job = self.jobs[r.job]
        for row in r.rows:
            where = (row.lane, row.lo, row.hi)
            assert job.ranges.setdefault(row.ordinal, where) == where, f"{job.name}/{row.ordinal}"
            assert row.ordinal not in job.fates, f"{job.name}/{row.ordinal} was done, and sent"
            job.attempts.setdefault(row.ordinal, set()).add((row.epoch, row.n))

    def _on_TasksFinished(self, r: records.TasksFinished) -> None:
        job = self.jobs[r.job]
        for row in r.rows:
            task = f"{job.name}/{row.ordinal}"
            assert row.ordinal not in job.fates, f"{task} finished twice"
            assert row.ordinal not in job.split, f"{task} finished after it was split"
            assert (row.epoch, row.n) in job.attempts[row.ordinal], f"{task}: nobody sent that"
            attempt, epoch = (row.epoch, row.n), self.epochs[-1]
            where = job.ranges[row.ordinal]
            fate = Fate(*where, end_of_source=row.end_of_source, attempt=attempt, epoch=epoch)
            at = row.offset
            for size in row.sizes:
                entry = Location(row.segment, at, size)
                job.stream.append(entry)
                fate.children.append(self.name_of(entry))
                at += size
            if row.drops_size:
                block = self.entry(Location(row.segment, at, row.drops_size))
                fate.drops = decode_drops(block)
            counts: dict[str, int] = {}
            for drop in fate.drops:
                counts[drop.reason] = counts.get(drop.reason, 0) + 1
            assert counts == row.drop_counts, f"{task}: drops are counted wrongly"
            job.fates[row.ordinal] = fate

    def _on_TaskFailed(self, r: records.TaskFailed) -> None:
        job = self.jobs[r.job]
        job.failed.setdefault(r.ordinal, []).append((r.epoch, r.n))
        assert r.ordinal not in job.fates, f"{job.name}/{r.ordinal} failed after it was done"
        if r.verdict == "split":
            job.split.add(r.ordinal)

    def _on_CandidateQuarantined(self, r: records.CandidateQuarantined) -> None:
        job = self.jobs[r.job]
        assert r.ordinal not in job.fates, f"{job.name}/{r.ordinal} was done, and quarantined"
        name = self.name_of(Location(*r.location)) if r.location else f"{job.name}/{r.position}"
        job.quarantined.append((r.lane, r.position, name))
        job.reasons[name] = r.reason

    def _on_Routed(self, r: records.Routed) -> None:
        job = self.jobs[r.job]
        if not job.routed:
            job.routed = [0] * len(job.inputs)
        assert job.routed[r.input] == r.lo, f"{job.name}: input {r.input} has a gap at {r.lo}"
        job.routed[r.input] += len(r.lanes)
        upstream = self.jobs[job.inputs[r.input]].stream
        assert job.routed[r.input] <= len(upstream), f"{job.name} was sent what never came out"
        for i, lane in enumerate(r.lanes):
            where = upstream[r.lo + i]
            job.order.append((self.name_of(where), lane, r.keys[i] if r.keys else 0))
            if lane >= 0 and job.is_select:
                job.stream.append(where)
            elif lane >= 0:
                job.lanes.setdefault(lane, []).append(where)

    def _on_Selected(self, r: records.Selected) -> None:
        job = self.jobs[r.job]
        for row in r.rows:
            assert (row.input, row.position) not in job.selected, f"{job.name} selects twice"
            job.selected.append((row.input, row.position))
            job.stream.append(self.jobs[job.inputs[row.input]].stream[row.position])

    def _on_SourceEnded(self, r: records.SourceEnded) -> None:
        self.jobs[r.job].source_end = r.ordinal

    def _on_JobClosed(self, r: records.JobClosed) -> None:
        job = self.jobs[r.job]
        assert job.closed is None or r.job in self._reopened, f"{job.name} was closed twice"
        self._reopened.discard(r.job)
        job.closed = r.how

    def _on_QuarantineReopened(self, r: records.QuarantineReopened) -> None:
        """The job closes once more, and what lies behind it may."""
        job = self.jobs[r.job]
        assert job.closed is None or job.quarantined, f"{job.name} was opened for nothing"
        job.closed = None
        job.quarantined.clear()
        job.reasons.clear()
        self._reopened.add(r.job)
        for index, other in enumerate(self.jobs):  # upstream jobs come first
            if self._reopened.intersection(other.inputs):
                self._reopened.add(index)

    def _on_LateResults(self, r: records.LateResults) -> None:
        self.late += r.count

    def _on_CampaignEnded(self, r: records.CampaignEnded) -> None:
        self.endings.append(r.state)

    def _on_Alerted(self, r: records.Alerted) -> None:
        self.alerts.append(r.text)

    # --- what must hold ---------------------------------------------------------------------------

    def check_complete(self) -> None:
        """Every candidate went along every edge exactly once and came to exactly one fate."""
        assert self.endings, "the campaign has not ended"
        assert self.endings[-1] == "done", f"the campaign ended as {self.endings[-1]}"
        self._check_attempts()
        for job in self.jobs:
            assert job.closed == "done", f"{job.name} is {job.closed}"
            names = [self.name_of(where) for where in job.stream]
            assert len(set(names)) == len(names), f"{job.name} puts a candidate out twice"
            self._check_routes(job)
            if not job.is_select:
                lanes = self._input(job)
                self._check_cover(job, lanes)
                for ordinal, fate in job.fates.items():
                    self._check_fate(job, ordinal, fate, lanes)

    def _check_attempts(self) -> None:
        used: dict[Attempt, tuple[str, int]] = {}
        for job in self.jobs:
            for ordinal, attempts in job.attempts.items():
                for attempt in attempts:
                    task = (job.name, ordinal)
                    assert used.setdefault(attempt, task) == task, f"{attempt} was used twice"

    def _check_routes(self, job: JobBook) -> None:
        """A job that looks at what arrives has looked at all of it, each candidate once."""
        if not job.routed:
            return
        for input_, count in enumerate(job.routed):
            length = len(self.jobs[job.inputs[input_]].stream)
            assert count == length, f"{job.name} looked at {count} of {length}"
        if not job.is_select:
            taken: set[str] = set()
            for name, lane, _ in job.order:
                assert (lane >= 0) == (name not in taken), f"{job.name}: {name} is routed wrongly"
                taken.add(name)

    def _input(self, job: JobBook) -> dict[int, list[str]]:
        """The names in each lane of the job."""
        if job.shape == "source":
            ends = [f.end_of_source for f in job.fates.values() if f.end_of_source is not None]
            ends += [end for end in (job.total, job.source_end) if end is not None]
            return {0: [f"{job.name}/{ordinal}" for ordinal in range(min(ends))]}
        if job.lanes or job.routed:
            return {lane: [self.name_of(at) for at in row] for lane, row in job.lanes.items()}
        return {0: [self.name_of(at) for at in self.jobs[job.inputs[0]].stream]}

    def _check_cover(self, job: JobBook, lanes: dict[int, list[str]]) -> None:
        """Finished ranges and quarantined positions cover each lane, and nothing twice."""
        rows = [(f.lane, lo) for f in job.fates.values() for lo in range(f.lo, f.hi)]
        rows += [(lane, position) for lane, position, _ in job.quarantined]
        if job.shape == "source":  # a task may reach beyond the end that its source then named
            rows = [row for row in rows if row[1] < len(lanes[0])]
        wanted = [(lane, i) for lane, names in lanes.items() for i in range(len(names))]
        assert len(set(rows)) == len(rows), f"{job.name} did something twice"
        assert set(rows) == set(wanted), f"{job.name}: {set(rows) ^ set(wanted)}"

    def _check_fate(
        self, job: JobBook, ordinal: int, fate: Fate, lanes: dict[int, list[str]]
    ) -> None:
        """Each input of the task has children, or one drop; nobody else has."""
        inputs = lanes.get(fate.lane, [])[fate.lo : fate.hi]
        families = {name: 0 for name in inputs}
        for child in fate.children:
            parent = child if child in families else child.rpartition(f"/{job.name}.")[0]
            assert parent in families, f"{job.name}/{ordinal}: {child} has no parent there"
            families[parent] += 1
        dropped = [drop.candidate_id for drop in fate.drops]
        assert len(set(dropped)) == len(dropped), f"{job.name}/{ordinal} drops twice"
        for name, children in families.items():
            verdicts = (children > 0) + (name in dropped)
            assert verdicts == 1, f"{job.name}/{ordinal}: {name} has {verdicts} fates"
        assert set(dropped) <= set(families), f"{job.name}/{ordinal} drops strangers"

    # --- contents ---------------------------------------------------------------------------------

    def contents(self, name: str) -> dict[str, Content]:
        """What came out of a job, by candidate."""
        found: dict[str, Content] = {}
        for where in self.by_name[name].stream:
            envelope = envelope_of(self.entry(where))
            found[envelope.candidate_id] = Content(
                envelope.structure_hash.hex(), dict(envelope.properties)
            )
        return found

    def handed_on(self, name: str) -> int:
        """How many tasks of a job were begun under one master and finished under another."""
        fates = self.by_name[name].fates.values()
        return sum(fate.attempt[0] < fate.epoch for fate in fates)

    def drops(self, name: str) -> dict[str, tuple[str, str]]:
        """Whom a job dropped: {id: (reason, detail)}."""
        fates = self.by_name[name].fates.values()
        return {d.candidate_id: (d.reason, d.detail) for fate in fates for d in fate.drops}

    def check_keyed(self, name: str, keep: int) -> None:
        """Of each key the first `keep`, in the order of the journal, were kept; no others."""
        job = self.by_name[name]
        wanted: dict[int, list[str]] = {}
        for candidate, lane, key in job.order:
            kept = wanted.setdefault(key, [])
            if lane >= 0 and len(kept) < keep:
                kept.append(candidate)
        names = {self.name_of(where) for where in job.stream}
        assert names == {name for kept in wanted.values() for name in kept}

    def check_acknowledged(self, account: Path) -> int:
        """What the agent was told to forget is in the journal; how many attempts that were.

        Parameters
        ----------
        account : lines of ``job ordinal epoch n``, one for each attempt that was acknowledged
        """
        lines = account.read_text().splitlines() if account.exists() else []
        for line in lines:
            job, ordinal, epoch, n = map(int, line.split())
            book = self.jobs[job]
            failed = (epoch, n) in book.failed.get(ordinal, [])
            assert failed or ordinal in book.fates or ordinal in book.split, (
                f"{book.name}/{ordinal} was acknowledged, and is not in the journal"
            )
        return len(lines)

    # --- the database -----------------------------------------------------------------------------

    def check_database(self, file: Path) -> None:
        """The SQLite database says the same as the journal."""
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            (run,) = database.execute("SELECT * FROM run").fetchall()
            assert run["position"] <= self.position
            counts = database.execute("SELECT * FROM job_count").fetchall()
            self._check_counts({row["job"]: row for row in counts})
            reasons = database.execute("SELECT job, reason, n FROM verdict_count").fetchall()
            self._check_reasons(reasons)
            rows = database.execute("SELECT * FROM material").fetchall()
            self._check_materials(rows)
            (atoms,) = database.execute("SELECT count(*) FROM geometry").fetchone()
            assert atoms == len(rows), "some materials have no atoms"

    def _check_counts(self, rows: dict[str, sqlite3.Row]) -> None:
        for job in self.jobs:
            wanted = (len(job.stream), len(self.drops(job.name)), len(job.quarantined))
            row = rows.get(job.name)
            found = (row["came_out"], row["dropped"], row["quarantined"]) if row else (0, 0, 0)
            assert found == wanted, f"{job.name}: the database counts {found}, not {wanted}"

    def _check_reasons(self, rows: list[sqlite3.Row]) -> None:
        found = Counter[tuple[str, str]]()
        for row in rows:
            found[row["job"], row["reason"]] += row["n"]
        wanted = Counter(
            (job.name, reason) for job in self.jobs for reason, _ in self.drops(job.name).values()
        )
        for key in wanted:
            assert found[key] == wanted[key], f"{key}: {found[key]}, not {wanted[key]}"

    def _check_materials(self, rows: list[sqlite3.Row]) -> None:
        contents = {job.name: self.contents(job.name) for job in self.jobs}
        names = {name for content in contents.values() for name in content}
        found = {row["candidate_id"]: row for row in rows}
        assert len(found) == len(rows), "a candidate has two rows"
        assert found.keys() == names, f"{len(found.keys() ^ names)} are missing or strange"
        dropped = {name for job in self.jobs for name in self.drops(job.name)}
        taken = {input_ for job in self.jobs for input_ in job.inputs}
        last = [job.name for i, job in enumerate(self.jobs) if i not in taken]
        kept = {name for job in last for name in contents[job]}
        for name, row in found.items():
            content = contents[row["stage"]][name]
            assert row["structure_hash"].hex() == content.structure, f"{name} is another crystal"
            stored = json.loads(row["properties"] or "{}")
            assert stored.items() >= content.properties.items(), f"{name}: {stored}"
            assert row["status"] != "dropped" or name in dropped, f"{name} was not dropped"
            assert (row["status"] == "kept") == (name in kept), f"{name} is {row['status']}"


def same_contents(one: Books, other: Books, *jobs: str) -> None:
    """The two runs made the same of the same candidates, drops included."""
    for name in jobs:
        assert one.contents(name) == other.contents(name), f"{name} differs"
        assert one.drops(name) == other.drops(name), f"the drops of {name} differ"


def same_where_shared(one: Books, other: Books, name: str) -> None:
    """As above, for a job behind a keyed one: which candidates it sees depends on timing."""
    mine, theirs = one.contents(name), other.contents(name)
    shared = mine.keys() & theirs.keys()
    assert shared, f"{name} has nothing in common with the other run"
    assert {k: mine[k] for k in shared} == {k: theirs[k] for k in shared}, f"{name} differs"
