"""Journal: the records themselves, and one of them whole."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

from textual import work
from textual.containers import VerticalScroll
from textual.widget import Widget

from stargen.errors import JournalError
from stargen.quantities import clock, count
from stargen.records import Record
from stargen.tui.desk import Desk
from stargen.tui.ink import Line, heading
from stargen.tui.page import Page
from stargen.tui.pages import WINDOW, window
from stargen.tui.pages import Row as Entry
from stargen.tui.widgets.sheet import Sheet
from stargen.tui.widgets.table import Column, Row, Table
from stargen.tui.words import Filter, fields_of, in_words

_RECORDS = (
    Column("position", 10, right=True),
    Column("at", 8),
    Column("record", 20),
    Column("what", 0),
)
_REST = 40.0
"""Parts of rest for one of searching, while records come and nobody asks for something else."""

_STYLES = {
    "TaskFailed": "bad",
    "NodeLost": "bad",
    "JobHeld": "bad",
    "Alerted": "warn",
    "CandidateQuarantined": "warn",
    "TasksReturned": "warn",
    "NodeState": "warn",
    "TasksFinished": "good",
    "JobClosed": "accent",
    "CampaignEnded": "accent",
}


class Journal(Page):
    """The newest records first."""

    tab = "journal"
    filtered = "record what job"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._entries: list[Entry] = []
        self._back = 0
        """How many records before the present moment the window ends."""
        self._asked: tuple[int, int, Filter] = (-1, 0, Filter())
        self._rests_until = 0.0
        self._reading = False
        self._looked = 0

    def body(self) -> Iterator[Widget]:
        yield Table(_RECORDS, id="records", title="journal", empty="no such record")

    def show(self) -> None:
        until = max(0, self.desk.view.position - self._back)
        asked = (until, self._back, self.filter)
        rests = asked[1:] == self._asked[1:] and time.monotonic() < self._rests_until
        if asked != self._asked and not self._reading and not rests:
            self._asked, self._reading = asked, True
            self._read(until, self.filter)
        jobs = [job.name for job in self.desk.status.jobs]
        note = f"{count(self.desk.view.position)} records"
        if self.filter.words and self._looked > 0:
            note = f"searched back to {count(self._looked)}"
        rows = [_record_row(entry, jobs) for entry in self._entries]
        self.query_one(Table).give(rows, note)

    @work(thread=True)
    def _read(self, until: int, wanted: Filter) -> None:
        jobs = [job.name for job in self.desk.status.jobs]

        def accepts(entry: Entry) -> bool:
            return wanted.accepts(_cells(entry.record, jobs))

        began = time.monotonic()
        try:
            entries, looked = window(self.desk.journal, until, accepts if wanted.words else None)
        except JournalError:
            entries, looked = [], until  # the feed says what is wrong with the journal
        ended = time.monotonic()
        self._rests_until = ended + _REST * (ended - began)
        self.app.call_from_thread(self._got, entries, looked)

    def _got(self, entries: list[Entry], looked: int) -> None:
        self._entries, self._looked, self._reading = entries, looked, False
        self.show()

    def on_table_beyond(self, event: Table.Beyond) -> None:
        position = self.desk.view.position
        if event.direction > 0 and self._entries:
            self._back = position - self._entries[-1].position + 1
            event.table.action_move(-WINDOW)
        elif event.direction < 0:
            self._back = max(0, self._back - WINDOW)
        self.show()

    def on_table_opened(self, event: Table.Opened) -> None:
        entry = next((e for e in self._entries if str(e.position) == event.key), None)
        if entry is not None:
            self.dashboard.open(RecordPage(self.desk, entry))


def _cells(record: Record, jobs: list[str]) -> dict[str, str]:
    index = getattr(record, "job", None)
    job = jobs[index] if isinstance(index, int) and index < len(jobs) else ""
    return {"record": type(record).__name__, "job": job, "what": in_words(record, jobs)}


def _record_row(entry: Entry, jobs: list[str]) -> Row:
    name = type(entry.record).__name__
    what = in_words(entry.record, jobs)
    cells = [count(entry.position), clock(entry.record.at), (name, _STYLES.get(name, "")), what]
    return Row(str(entry.position), cells)


class RecordPage(Page):
    """All that one record says."""

    tab = "journal"

    def __init__(self, desk: Desk, entry: Entry) -> None:
        super().__init__(desk)
        self._entry = entry
        self.trail = [f"record {count(entry.position)}"]

    def body(self) -> Iterator[Widget]:
        with VerticalScroll(id="scroll"):
            yield Sheet()

    def show(self) -> None:
        self.query_one(Sheet).give(partial(_record_lines, self._entry))


def _record_lines(entry: Entry, width: int) -> list[Line]:
    title = f"{type(entry.record).__name__} at {clock(entry.record.at)}"
    lines: list[Line] = [heading(title, width, f"position {count(entry.position)}")]
    for name, value in fields_of(entry.record).items():
        lines += _field(name, value)
    return lines


def _field(name: str, value: Any) -> list[Line]:
    if isinstance(value, list) and value and isinstance(value[0], (list, dict)):
        rows = cast("list[Any]", value)
        shown = [json.dumps(row, ensure_ascii=False, default=str) for row in rows[:WINDOW]]
        rest = len(rows) - len(shown)
        if rest:
            shown.append(f"and {count(rest)} more")
    else:
        text = (
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        )
        shown = text.splitlines() or ["-"]
    first: Line = [(f" {name:<14}", "dim"), (shown[0], "")]
    return [first, *([(" " * 15, ""), (text, "")] for text in shown[1:])]
