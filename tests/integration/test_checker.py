"""The checker of the kill tests is checked: errors that are planted in good books are found.

One campaign runs undisturbed. Its journal is then told with one record changed, or its database is
changed behind its back, and the checker must say so.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.checker import Books, same_contents, same_where_shared
from support.real_campaigns import RealCampaign

from stargen.crystal import decode_entry, encode_entry
from stargen.model import Location
from stargen.records import (
    CampaignEnded,
    EpochStarted,
    JobClosed,
    Record,
    Routed,
    TasksAssigned,
    TasksFinished,
)

TEXT = """
[campaign]
name = "checked"
seed = 5
database = "sqlite:///checked.db"
[[job]]
name = "make"
use = "nasty.source"
params = { count = 40, stillborn_every = 9 }
grain = 4
[[job]]
name = "draw"
input = "make"
use = "nasty.draw"
params = { least = 0.2 }
grain = 4
[[job]]
name = "lucky"
input = "draw"
select = { where = "luck > 0.5" }
[[job]]
name = "one-of-each"
input = "draw"
use = "echo.keyed"
grain = 4
"""

MAKE, DRAW, KEYED = 0, 1, 3

Change = Callable[[Record], list[Record]]


class Doctored(Books):
    """Books that are told something else than the journal holds.

    Parameters
    ----------
    change : what stands in place of a record
    entries : what is read in place of an entry
    """

    def __init__(
        self, journal: Path, change: Change, entries: Callable[[bytes], bytes] = bytes
    ) -> None:
        self._change = change
        self._swap = entries
        super().__init__(journal)

    def told(self, journal: Path) -> Iterator[tuple[int, Any]]:
        for position, record in super().told(journal):
            yield from ((position, changed) for changed in self._change(record))

    def entry(self, location: Location) -> bytes:
        return self._swap(super().entry(location))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> RealCampaign:
    campaign = RealCampaign(tmp_path_factory.mktemp("checked"), TEXT)
    assert campaign.run() == 0, campaign.said()
    check(Books(campaign.journal), campaign.base / "checked.db")
    return campaign


def check(books: Books, database: Path) -> None:
    books.check_complete()
    books.check_keyed("one-of-each", 1)
    books.check_database(database)


# --- the journal ----------------------------------------------------------------------------------


def first(kind: type, job: int, change: Change) -> Change:
    """Change the first record of a kind that speaks of the job."""
    done = False

    def once(record: Record) -> list[Record]:
        nonlocal done
        if done or not isinstance(record, kind) or getattr(record, "job", job) != job:
            return [record]
        done = True
        return change(record)

    return once


def rows(change: Callable[[list[Any]], list[Any]]) -> Change:
    return lambda record: [replace(record, rows=change(record.rows))]  # type: ignore[call-arg]


def in_first_row(**changes: Any) -> Change:
    """Other values for some fields of the first row."""
    return rows(lambda old: [old[0]._replace(**changes), *old[1:]])


def without_first_output(record: Any) -> list[Record]:
    """The first row that has outputs has one less."""
    at = next(i for i, row in enumerate(record.rows) if row.sizes)
    row = record.rows[at]
    less = row._replace(sizes=row.sizes[1:], offset=row.offset + row.sizes[0])
    return [replace(record, rows=[*record.rows[:at], less, *record.rows[at + 1 :]])]


def twice(record: Any) -> list[Record]:
    return [record, record]


PLANTED = {
    "a result is accepted twice": first(TasksFinished, DRAW, twice),
    "a result is lost": first(TasksFinished, DRAW, lambda record: []),
    "a candidate is lost": first(TasksFinished, DRAW, without_first_output),
    "a task that nobody was sent has a result": first(TasksFinished, DRAW, in_first_row(n=10**9)),
    "drops are forgotten": first(TasksFinished, DRAW, in_first_row(drop_counts={"unlucky": 99})),
    "a task covers what it did not": first(TasksAssigned, DRAW, in_first_row(hi=9)),
    "one attempt has two tasks": first(TasksAssigned, DRAW, in_first_row(n=1)),
    "a candidate is routed twice": first(Routed, KEYED, twice),
    "a candidate is not routed": first(Routed, KEYED, lambda record: []),
    "a candidate goes to no lane": first(
        Routed, KEYED, lambda r: [replace(r, lanes=[-1, *r.lanes[1:]])]
    ),
    "a job never closed": first(JobClosed, KEYED, lambda record: []),
    "a job closed twice": first(JobClosed, KEYED, twice),
    "it never ended": first(CampaignEnded, 0, lambda record: []),
    "an epoch is used twice": first(EpochStarted, 0, twice),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_wrong_in_the_journal_is_found(name: str, good: RealCampaign) -> None:
    with pytest.raises(AssertionError):
        check(Doctored(good.journal, PLANTED[name]), good.base / "checked.db")


def test_a_verdict_against_the_order_of_the_journal_is_found(good: RealCampaign) -> None:
    """Whoever comes first is the representative: here the second one was made to come first."""
    books = Books(good.journal)
    order = books.by_name["one-of-each"].order
    key, one, two = next(
        (key, one, two)
        for one, (_, lane, key) in enumerate(order)
        for two, (_, other_lane, other) in enumerate(order)
        if one < two and key == other and lane >= 0 and other_lane >= 0
    )
    assert key
    order[one], order[two] = order[two], order[one]
    books.check_complete()
    with pytest.raises(AssertionError):
        books.check_keyed("one-of-each", 1)


def test_another_content_is_found(good: RealCampaign) -> None:
    (name, *_) = Books(good.journal).contents("lucky")

    def luckier(entry: bytes) -> bytes:
        if name.encode() not in entry:
            return entry
        candidate = decode_entry(entry)
        if candidate.candidate_id != name:
            return entry
        return encode_entry(candidate.with_(luck=0.987))

    other = Doctored(good.journal, lambda record: [record], luckier)
    other.check_complete()
    same_contents(other, other, "draw")
    with pytest.raises(AssertionError, match="draw differs"):
        same_contents(Books(good.journal), other, "draw")
    with pytest.raises(AssertionError, match="draw differs"):
        same_where_shared(Books(good.journal), other, "draw")
    with pytest.raises(AssertionError):
        other.check_database(good.base / "checked.db")


def test_an_acknowledgement_without_a_record_is_found(good: RealCampaign, tmp_path: Path) -> None:
    books, account = Books(good.journal), tmp_path / "account"
    account.write_text(good.acknowledged.read_text())
    assert books.check_acknowledged(account) > 0
    with account.open("a") as file:
        file.write(f"{DRAW} 9999 1 1\n")
    with pytest.raises(AssertionError, match="is not in the journal"):
        books.check_acknowledged(account)


# --- the database ---------------------------------------------------------------------------------

ANY = "candidate_id = (SELECT max(candidate_id) FROM material WHERE status = 'kept')"
SPOILED = {
    "a row is lost": f"DELETE FROM material WHERE {ANY}",
    "a row is there twice": (
        "CREATE TABLE copy AS SELECT * FROM material; DROP TABLE material; "
        f"CREATE TABLE material AS SELECT * FROM copy; "
        f"INSERT INTO material SELECT * FROM copy WHERE {ANY}"
    ),
    "a row is of nobody": f"UPDATE material SET candidate_id = 'make/777' WHERE {ANY}",
    "a row is of another crystal": f"UPDATE material SET structure_hash = x'00' WHERE {ANY}",
    "a property is another one": (
        f"UPDATE material SET properties = json_set(properties, '$.luck', 2.5) WHERE {ANY}"
    ),
    "who was kept is called dropped": f"UPDATE material SET status = 'dropped' WHERE {ANY}",
    "who was dropped is called kept": (
        "UPDATE material SET status = 'kept' WHERE candidate_id = "
        "(SELECT max(candidate_id) FROM material WHERE status = 'dropped')"
    ),
    "a count is wrong": "UPDATE job_count SET came_out = came_out + 1 WHERE job = 'draw'",
    "a reason is counted wrongly": "UPDATE verdict_count SET n = n + 1 WHERE job = 'draw'",
    "atoms are missing": "DELETE FROM geometry WHERE material_id = 1",
    "it is ahead of the journal": "UPDATE run SET position = position + 100000",
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_wrong_in_the_database_is_found(
    name: str, good: RealCampaign, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(good.base / "checked.db", copy)
    with closing(sqlite3.connect(copy)) as database:
        before = database.total_changes
        database.executescript(SPOILED[name])
        database.commit()
        assert database.total_changes > before
    with pytest.raises(AssertionError):
        Books(good.journal).check_database(copy)
