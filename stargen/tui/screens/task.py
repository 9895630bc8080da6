"""One task: its attempts, what it said, what came out of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from stargen.errors import BadResult, JournalError
from stargen.quantities import clock, count, duration
from stargen.tui.desk import Desk
from stargen.tui.gallery import read_candidate
from stargen.tui.ink import Drawn, Line, heading
from stargen.tui.page import Page
from stargen.tui.pages import Chapter, story
from stargen.tui.widgets.marks import bar, curve, numbers

_CHAPTERS = 100


class Sheet(Drawn):
    """As many lines as it takes; its container scrolls."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.content: list[Line] = []

    def give(self, lines: list[Line]) -> None:
        self.content = lines
        if self.styles.height is None or self.styles.height.value != len(lines):
            self.styles.height = len(lines)
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        return self.content


class TaskPage(Page):
    """The story of a task, read from the journal."""

    tab = "tasks"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "explain", "Why?"),
        Binding("C", "cancel", "Cancel"),
        Binding("R", "retry", "Retry"),
        Binding("H", "hold", "Hold"),
        Binding("L", "release", "Release", show=False),
    ]

    def __init__(self, desk: Desk, task: str, behind: list[str] | None = None) -> None:
        super().__init__(desk)
        self.about = task
        self.job, _, number = task.rpartition("/")
        self.ordinal = int(number)
        self.trail = [*(behind or ()), task]
        self._chapters: list[Chapter] = []
        self._curves: dict[str, list[float]] = {}
        self._read_until = -1
        self._reading = False

    def body(self) -> Iterator[Widget]:
        with VerticalScroll(id="scroll"):
            yield Sheet(id="sheet")

    def show(self) -> None:
        position = self.desk.view.position
        if position != self._read_until and not self._reading:
            began = self._read_until if position > self._read_until >= 0 else 0
            self._reading, self._read_until = True, position
            self._read(began, position)
        width = max(20, self.query_one("#scroll").size.width)
        self.query_one(Sheet).give([*self._standing(width), *self._story(width)])

    @work(thread=True)
    def _read(self, after: int, until: int) -> None:
        """What has come since the last look, or everything; the newest first."""
        found: list[Chapter] = []
        try:
            for chapters in story(self.desk.journal, until, self._index, self.ordinal, after):
                found += chapters
                if len(found) >= _CHAPTERS:
                    break
        except JournalError:
            pass  # the feed says what is wrong with the journal
        curves = _curves_of(self.desk, found)
        self.app.call_from_thread(self._got, found, curves, after > 0)

    def _got(self, found: list[Chapter], curves: dict[str, list[float]], more: bool) -> None:
        self._reading = False
        self._chapters = ([*found, *self._chapters] if more else found)[:_CHAPTERS]
        self._curves = curves or (self._curves if more else {})
        self.show()

    @property
    def _index(self) -> int:
        names = [job.name for job in self.desk.status.jobs]
        return names.index(self.job) if self.job in names else -1

    # --- what is drawn ----------------------------------------------------------------------------

    def _standing(self, width: int) -> list[Line]:
        desk, index = self.desk, self._index
        lines = [heading(f"task {self.about}", width)]
        if index < 0:
            return [*lines, [(" the job is not there at this moment", "dim")]]
        job = desk.status.jobs[index]
        usual = job.busy_s / job.finished if job.finished else None
        about = f"; tasks of {self.job} take about {duration(usual)}" if usual else ""
        node, size = job.open.get(self.ordinal, (None, 0))
        if node is None:
            said = " it has ended" if self._chapters else " it has not begun"
            lines.append([(said, "dim"), (about, "dim")])
        elif not node:
            lines.append(
                [(" waiting for another try", "warn"), (f" ({count(size)} candidates)", "")]
            )
        else:
            lines += self._at_work(node, index, usual, size, about)
        if job.held:
            lines.append([(f" {self.job} is held: {job.held}", "bad")])
        return lines

    def _at_work(
        self, node: str, index: int, usual: float | None, size: int, about: str
    ) -> list[Line]:
        desk = self.desk
        began = desk.view.trail.began.get((index, self.ordinal))
        elapsed = max(0.0, desk.now - began.at) if began else 0.0
        rows = (desk.load_of(node) or {}).get("running", ())
        mine = [row for row in rows if (row["job"], row["ordinal"]) == (index, self.ordinal)]
        lines: list[Line] = [
            [
                (" with ", ""),
                (node, "good"),
                (f" for {duration(elapsed)}, {count(size)} candidates{about}", ""),
            ]
        ]
        if mine:
            row = mine[0]
            share = row["done"] / row["total"] if row["total"] else None
            said: Line = [
                (f" runs for {duration(row['elapsed_s'])}, {row['rss_gib']:.2f} GiB  ", "")
            ]
            if share is not None:
                said += [*bar(share, 20), (f" {row['done']:g} of {row['total']:g}", "")]
            lines.append(said)
        elif usual:
            lines.append([(" ", ""), *bar(elapsed / usual, 30), (" by the usual time", "dim")])
        return lines

    def _story(self, width: int) -> list[Line]:
        lines: list[Line] = []
        for name, values in self._curves.items():
            lines.append(heading(name, width, f"{len(values)} steps"))
            lines += curve(values, min(width, 100), 8)
        lines.append(heading("story, the newest first", width))
        if not self._chapters:
            waits = " reading the journal" if self._reading else " nothing has happened to it yet"
            lines.append([(waits, "dim")])
        for chapter in self._chapters:
            style = (
                "bad" if "failed" in chapter.what else "good" if "finished" in chapter.what else ""
            )
            lines.append([(f" {clock(chapter.at)}  ", "dim"), (chapter.what, style or "bold")])
            lines += [[("           ", ""), (text, "")] for text in chapter.detail.splitlines()]
        return lines

    # --- keys -------------------------------------------------------------------------------------

    def action_explain(self) -> None:
        explain_task(self, self.about)

    def action_cancel(self) -> None:
        cancel(self, self.about)

    def action_retry(self) -> None:
        retry(self, self.job)

    def action_hold(self) -> None:
        hold(self, self.job)

    def action_release(self) -> None:
        release(self, self.job)


def _curves_of(desk: Desk, chapters: list[Chapter]) -> dict[str, list[float]]:
    """Lists of numbers that the calculator left with the first candidate that came out."""
    for chapter in chapters:
        for place in chapter.outputs[:1]:
            try:
                data = read_candidate(desk.journal, place).data
            except (JournalError, BadResult):
                continue
            found = {name: numbers(value) for name, value in data.items()}
            return {name: values for name, values in found.items() if values is not None}
    return {}


def explain_task(page: Page, task: str | None) -> None:
    """Why a task waits."""
    if task is not None:
        page.explain(task)


def cancel(page: Page, task: str | None) -> None:
    """Ask to give a task up."""
    if task is not None:
        page.act("cancel-task", task, f"Cancel task {task}: what it has done is lost for good.")


def retry(page: Page, job: str) -> None:
    """Ask for another try at what a job has set aside."""
    status = page.desk.status
    number = sum(each.quarantined for each in status.jobs if each.name == job)
    page.act("retry", job, f"Try the {count(number)} quarantined candidates of {job} again.")


def hold(page: Page, job: str) -> None:
    """Ask for no more tasks of a job."""
    running = sum(each.running for each in page.desk.status.jobs if each.name == job)
    page.act("hold", job, f"Hold {job}: none of its tasks is sent any more; {running} run on.")


def release(page: Page, job: str) -> None:
    """Ask for a held job to go on."""
    page.act("release", job, f"Release {job}: its tasks are sent again.")
