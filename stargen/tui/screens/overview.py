"""Overview: the whole campaign at a glance."""

from __future__ import annotations

from collections.abc import Iterator

from textual import work
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from stargen.model import Location
from stargen.quantities import clock, count, duration, rate
from stargen.tui.desk import Desk
from stargen.tui.funnel import Stage, stages
from stargen.tui.gallery import Exhibit, Showcase, first_choice, properties, ranked, shown, value_of
from stargen.tui.ink import Drawn, Line, heading
from stargen.tui.page import Page
from stargen.tui.usage import MEASURES
from stargen.tui.widgets.marks import bar, centred, heat, sparklines
from stargen.tui.widgets.table import Cell, Column, Row, Table
from stargen.tui.words import short

_JOBS = (
    Column("job", 13),
    Column("progress", 14),
    Column("in", 9, right=True, rank=3),
    Column("out", 9, right=True),
    Column("funnel", 12, rank=1),
    Column("rate", 8, right=True),
    Column("waiting", 9, right=True, rank=2),
    Column("running", 8, right=True, rank=4),
    Column("what became of the rest", 0),
)
_BUCKET_S = 2
_BEST = 100


def job_row(stage: Stage, running: bool) -> Row:
    """One job as a stage of the funnel."""
    job = stage.job
    style = "bad" if job.held else "dim" if job.closed else ""
    cells: list[Cell] = [
        (short(job.name, 13), style or "bold"),
        _progress(stage),
        count(job.taken),
        (count(job.out), style or "bold"),
        centred(stage.width, 12, "bad" if job.held else "warn" if stage.bottleneck else "heat1"),
        rate(stage.rate if running and job.closed is None else job.meter.mean()),
        count(stage.waiting) if stage.waiting else "-",
        count(job.running) if job.running else "-",
        _notes(stage),
    ]
    return Row(job.name, cells, style)


def _progress(stage: Stage) -> Line:
    if stage.share is None:
        return [("░" * 9, "rule"), ("    ?", "dim")]
    style = "bad" if stage.job.held else "accent" if stage.job.closed else "good"
    percent = min(99, int(100 * stage.share)) if stage.job.closed is None else 100
    return [*bar(stage.share, 9, style), (f"{percent:>3} %", "")]


def _notes(stage: Stage) -> Line:
    job = stage.job
    notes: Line = []
    if job.held:
        notes.append((f"held: {job.held}  ", "bad"))
    elif stage.bottleneck:
        notes.append(("◀ bottleneck  ", "warn"))
    elif job.closed not in (None, "done"):
        notes.append((f"{job.closed}  ", "warn"))
    drops = sorted(job.dropped.items(), key=lambda item: (-item[1], item[0]))
    notes.append((", ".join(f"{name or 'no reason'} {count(n)}" for name, n in drops), "dim"))
    lost = job.taken - job.out
    if job.shape == "select" and lost > 0:
        notes.append((f"not selected {count(lost)}", "dim"))
    if job.quarantined:
        notes.append((f"{', ' if drops else ''}quarantined {count(job.quarantined)}", "warn"))
    return notes


class Devices(Drawn):
    """Tasks per second, and what the nodes do, over the last minutes."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(id="devices")
        self._desk = desk

    def draw(self, width: int, height: int) -> list[Line]:
        desk = self._desk
        room = max(4, width - 20)
        pace = desk.view.trail.pace(desk.now, room, _BUCKET_S)
        last = pace[-5:]
        charts: list[tuple[str, list[float], float | None, str, str]] = [
            ("tasks", pace, None, rate(sum(last) / len(last)), "accent")
        ]
        for name, of in MEASURES.items() if desk.live is not None else ():
            values = [value for reading in desk.usage.all if (value := of(reading)) is not None]
            if values:
                charts.append((name, values, 100.0, f"{values[-1]:.0f} %", heat(values[-1])))
        lines = [heading("speed and devices", width, f"{duration(room * _BUCKET_S)} of tasks")]
        rows = max(1, min(4, (height - 1) // len(charts)))
        for name, values, top, value, style in charts:
            for row, marks in enumerate(sparklines(values, room, rows, top), 1):
                first = row == rows
                lines.append(
                    [
                        (f" {name if first else '':<7}", "dim"),
                        (marks, style),
                        (f"{value if first else '':>10}", "bold"),
                    ]
                )
        if len(charts) == 1:
            lines.append([("  loads are known while a master runs", "dim")])
        return lines


class Causes(Drawn):
    """Failures by their cause."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(id="causes")
        self._desk = desk

    def draw(self, width: int, height: int) -> list[Line]:
        status = self._desk.status
        found: dict[tuple[str, str], tuple[int, str]] = {}
        for group in status.failures.values():
            key = (status.jobs[group.job].name, group.failure)
            number, _ = found.get(key, (0, ""))
            found[key] = (number + group.count, group.message)
        total = sum(number for number, _ in found.values())
        lines = [heading("failures by cause", width, count(total) if total else "")]
        if not found:
            lines.append([("  nothing has failed", "dim")])
        for (job, failure), (number, message) in sorted(found.items(), key=lambda i: -i[1][0]):
            style = "bad" if failure in ("calculation", "user") else "warn"
            lines.append(
                [
                    (f"{count(number):>8} ", "bold"),
                    (f"{failure} ", style),
                    (f"in {job}  ", ""),
                    (short(message, width), "dim"),
                ]
            )
        return lines


class Events(Drawn):
    """What happened last, the newest first."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(id="events")
        self._desk = desk

    def draw(self, width: int, height: int) -> list[Line]:
        status = self._desk.status
        alerts = {(at, text) for at, text in status.alerts}
        lines = [heading("events", width)]
        for at, text in reversed(status.events):
            style = "warn" if (at, text) in alerts else ""
            lines.append([(f" {clock(at)} ", "dim"), (" ".join(text.split()), style)])
        return lines


class Best(Drawn):
    """The best of the newest candidates."""

    def __init__(self) -> None:
        super().__init__(id="best")
        self._note = ""
        self._name: str | None = None
        self._best: list[Exhibit] = []

    def give(self, job: str, name: str | None, best: list[Exhibit]) -> None:
        """Candidates of a job, ranked by a property."""
        self._note = f"{job} by {name}" if name else job
        self._name, self._best = name, best
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        lines = [heading("best candidates", width, self._note)]
        if not self._best:
            lines.append([("  none yet", "dim")])
        return lines + [_exhibit(exhibit, self._name) for exhibit in self._best[:height]]


def _exhibit(exhibit: Exhibit, name: str | None) -> Line:
    envelope = exhibit.envelope
    value = shown(value_of(envelope, name)) if name else ""
    return [
        (f" {short(envelope.formula, 16):<17}", "good"),
        (f"{value:>10}", "bold"),
        (f"{envelope.n_atoms:>4} atoms  ", "dim"),
        (envelope.candidate_id, "dim"),
    ]


class Overview(Page):
    """Jobs as a funnel, devices, failures, events, and what has come of it."""

    tab = "overview"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._showcase = Showcase(desk.journal)

    def body(self) -> Iterator[Widget]:
        yield Table(_JOBS, id="jobs", empty="no plan yet")
        with Vertical(id="panels"):
            with Horizontal():
                yield Devices(self.desk)
                yield Causes(self.desk)
            with Horizontal():
                yield Events(self.desk)
                yield Best()

    def show(self) -> None:
        status = self.desk.status
        table = self.query_one("#jobs", Table)
        height = len(status.jobs) + 1
        if table.styles.height is None or table.styles.height.value != height:
            table.styles.height = height
        running = self.desk.feed.state == "running"
        table.give([job_row(stage, running) for stage in stages(status, self.desk.now)])
        for panel in self.query("Devices, Causes, Events").results(Drawn):
            panel.redraw()
        wanted = self._showcase.wanted(self.desk.view.trail)
        if wanted is not None:
            shown_job = self._showcase.shown
            self._read(wanted, "" if shown_job is None else status.jobs[shown_job].name)

    @work(thread=True, exclusive=True)
    def _read(self, wanted: list[Location], job: str) -> None:
        exhibits = self._showcase.read(wanted)
        name = first_choice(properties(exhibits))
        best = ranked(exhibits, name, reverse=False) if name else exhibits
        self.app.call_from_thread(lambda: self.query_one(Best).give(job, name, best[:_BEST]))

    def on_table_opened(self, event: Table.Opened) -> None:
        self.dashboard.show_filtered("tasks", f"job:{event.key}")
