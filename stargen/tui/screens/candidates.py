"""Candidates: the best of the newest, and everything about one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import numpy as np
from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget

from stargen.crystal import Candidate, Crystal, Envelope
from stargen.errors import BadResult, JournalError
from stargen.model import Location
from stargen.quantities import count
from stargen.tui.desk import Desk
from stargen.tui.gallery import (
    NEWEST,
    Exhibit,
    Showcase,
    first_choice,
    properties,
    ranked,
    read_candidate,
    shown,
    value_of,
)
from stargen.tui.ink import Line, heading
from stargen.tui.page import Page
from stargen.tui.pages import WINDOW
from stargen.tui.series import corrections_of, drawn, series_of, told
from stargen.tui.spacegroups import space_group
from stargen.tui.widgets.sheet import Sheet
from stargen.tui.widgets.table import Cell, Column, Order, Row, Table
from stargen.tui.widgets.unitcell import UnitCell, inks
from stargen.tui.windowed import Windowed
from stargen.tui.words import short

_FIXED = (
    Column("formula", 14, sort=True),
    Column("atoms", 6, right=True, sort=True),
    Column("id", 16, sort=True, rank=1),
)
_MOST_PROPERTIES = 8


class Candidates(Windowed):
    """A table of what a job put out, by any property, and the one under the cursor."""

    tab = "candidates"
    filtered = "formula id, and every property"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("j", "job", "Job")]

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._showcase = Showcase(desk.journal)
        self._names: list[str] | None = None
        self._rows: list[Exhibit] = []
        self._seen: str | None = None

    def body(self) -> Iterator[Widget]:
        with Horizontal():
            yield Table(_FIXED, id="candidates", title="candidates", empty="none yet")
            with VerticalScroll(id="beside", can_focus=False):
                yield UnitCell(id="cell")
                yield Sheet()

    def show(self) -> None:
        wanted = self._showcase.wanted(self.desk.view.trail)
        if wanted is not None:
            self._read(wanted)
        exhibits = self._showcase.exhibits
        names = properties(exhibits)
        table = self.query_one(Table)
        if names != self._names:
            self._take_columns(table, names)
        chosen = [e for e in exhibits if self.filter.accepts(_cells(e.envelope))]
        known = {column.title for column in table.columns}
        order = table.order if table.order and table.order.column in known else Order("id")
        chosen = ranked(chosen, order.column, reverse=order.reverse)
        self._rows = list(self.part(chosen))
        shown_job = self._showcase.shown
        job = "" if shown_job is None else f" of {self.desk.status.jobs[shown_job].name}"
        table.title = f"candidates{job}"
        note = self.span(len(self._rows), len(chosen))
        if len(exhibits) >= NEWEST:
            note += f", the newest {count(NEWEST)}"
        columns = [column.title for column in table.columns]
        table.give([_row(exhibit, columns) for exhibit in self._rows], note if exhibits else "")
        self._show_beside(table.key)

    def _take_columns(self, table: Table, names: list[str]) -> None:
        self._names = names
        best = first_choice(names)
        names = sorted(names, key=lambda name: (name != best, name))[:_MOST_PROPERTIES]
        columns = [
            Column(name, max(9, min(22, len(name) + 1)), right=True, sort=True, rank=2 + i)
            for i, name in enumerate(names)
        ]
        formula, atoms, birth = _FIXED
        table.columns = [formula, atoms, *columns[:1], birth, *columns[1:]]
        if table.order is None and best is not None:
            table.order = Order(best)

    @work(thread=True)
    def _read(self, wanted: list[Location]) -> None:
        exhibits = self._showcase.read(wanted)
        self.app.call_from_thread(self._got, exhibits)

    def _got(self, exhibits: list[Exhibit]) -> None:
        self._showcase.exhibits = exhibits
        self.show()

    # --- the one under the cursor -----------------------------------------------------------------

    def _show_beside(self, key: str | None) -> None:
        if not self.has_class("-wide"):
            return
        if key != self._seen:
            self._seen = key
            exhibit = next((e for e in self._rows if _key(e) == key), None)
            if exhibit is None:
                self._got_candidate(None)
            else:
                self._read_candidate(exhibit.location)

    @work(thread=True, exclusive=True, group="beside")
    def _read_candidate(self, location: Location) -> None:
        self.app.call_from_thread(self._got_candidate, whole(self.desk, location))

    def _got_candidate(self, candidate: Candidate | None) -> None:
        self.query_one(UnitCell).give(candidate.crystal if candidate else None)
        self.query_one(Sheet).give(partial(details, candidate) if candidate else lambda width: [])

    # --- keys -------------------------------------------------------------------------------------

    def action_job(self) -> None:
        """The candidates of the next job that has some."""
        jobs = sorted(job for job, rows in self.desk.view.trail.outputs.items() if rows)
        if jobs:
            shown_job = self._showcase.shown
            place = jobs.index(shown_job) + 1 if shown_job in jobs else 0
            self._showcase.job = jobs[place % len(jobs)]
            self.first = 0
            self.show()

    def on_table_moved(self, event: Table.Moved) -> None:
        self._show_beside(event.key)

    def on_table_opened(self, event: Table.Opened) -> None:
        exhibit = next((e for e in self._rows if _key(e) == event.key), None)
        if exhibit is not None:
            self.dashboard.open(CandidatePage(self.desk, exhibit))


def _key(exhibit: Exhibit) -> str:
    return f"{exhibit.location.segment}:{exhibit.location.offset}"


def _cells(envelope: Envelope) -> dict[str, str]:
    cells = {name: shown(value) for name, value in envelope.properties.items()}
    return cells | {"formula": envelope.formula, "id": envelope.candidate_id}


def _row(exhibit: Exhibit, columns: list[str]) -> Row:
    cells: list[Cell] = []
    for name in columns:
        value = shown(value_of(exhibit.envelope, name))
        cells.append((value, "bold") if name == "formula" else value)
    return Row(_key(exhibit), cells)


def whole(desk: Desk, location: Location) -> Candidate | None:
    """The candidate there; None if it cannot be read."""
    try:
        return read_candidate(desk.journal, location)
    except (JournalError, BadResult):
        return None


class CandidatePage(Page):
    """One candidate: its cell, sites, properties and where it comes from."""

    tab = "candidates"

    def __init__(self, desk: Desk, exhibit: Exhibit) -> None:
        super().__init__(desk)
        self._exhibit = exhibit
        self._asked = False
        self.trail = [exhibit.envelope.formula]

    def body(self) -> Iterator[Widget]:
        with Horizontal():
            with VerticalScroll(id="scroll"):
                yield Sheet()
            yield UnitCell(id="cell")

    def show(self) -> None:
        if not self._asked:
            self._asked = True
            self._read()

    @work(thread=True)
    def _read(self) -> None:
        self.app.call_from_thread(self._got, whole(self.desk, self._exhibit.location))

    def _got(self, candidate: Candidate | None) -> None:
        if candidate is not None:
            self.query_one(UnitCell).give(candidate.crystal)
            self.query_one(Sheet).give(partial(details, candidate))


def details(candidate: Candidate, width: int) -> list[Line]:
    """Everything that can be read of a candidate."""
    crystal = candidate.crystal
    lines: list[Line] = [
        heading(crystal.formula, width, candidate.candidate_id),
        *_lattice(crystal),
        [(f" space group {space_group(candidate.properties)}", "")],
        heading("properties", width),
    ]
    for name, value in sorted(candidate.properties.items()):
        lines.append([(f" {name:<28}", "dim"), (shown(value), "bold")])
    lines += drawn(series_of(candidate.data), width, 6)
    lines += told(corrections_of(candidate.data), width)
    lines.append(heading("sites", width, count(crystal.n_atoms)))
    lines += _sites(crystal)
    lines.append(heading("provenance", width))
    for step in candidate.provenance:
        seed = "" if step.seed is None else f", seed {step.seed}"
        lines.append(
            [
                (f" {step.job:<12}", ""),
                (f" {step.calculator} {step.version}", "accent"),
                (f"  {step.params_hash[:8]}{seed}", "dim"),
            ]
        )
        lines += [
            [(f"              {key} = {short(value, width - 16)}", "dim")]
            for key, value in step.note.items()
        ]
    return lines


def _lattice(crystal: Crystal) -> list[Line]:
    rows = np.asarray(crystal.lattice, dtype=float)
    a, b, c = np.linalg.norm(rows, axis=1)
    pairs = ((1, 2), (0, 2), (0, 1))
    angles = [_angle(rows[i], rows[j]) for i, j in pairs]
    return [
        [(f" a {a:.3f}  b {b:.3f}  c {c:.3f} Å", "")],
        [("  ".join(f" {n} {x:.2f}°" for n, x in zip("αβγ", angles, strict=True)), "")],
        [(f" volume {crystal.volume:.2f} Å³, {crystal.volume / crystal.n_atoms:.2f} an atom", "")],
    ]


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    cosine = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    return float(np.degrees(np.arccos(max(-1.0, min(1.0, cosine)))))


def _sites(crystal: Crystal) -> list[Line]:
    colours = inks(crystal)
    symbols = crystal.symbols
    return [
        [(f" {symbols[i]:<3}", colours[symbols[i]]), ("".join(f"{x:>9.4f}" for x in site), "")]
        for i, site in enumerate(np.asarray(crystal.frac_coords, dtype=float)[:WINDOW])
    ]
