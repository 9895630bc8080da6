"""One task: its attempts, what it said, what came out of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from stargen.errors import BadResult, JournalError
from stargen.quantities import clock, count, duration
from stargen.status import OpenTask
from stargen.tui.desk import Desk
from stargen.tui.gallery import read_candidate
from stargen.tui.ink import Line, heading
from stargen.tui.link import Interest
from stargen.tui.page import Page
from stargen.tui.pages import Chapter, story
from stargen.tui.requests import Requests
from stargen.tui.series import Series, corrections_of, drawn, series_of, told
from stargen.tui.widgets.marks import bar
from stargen.tui.widgets.sheet import Sheet

_CHAPTERS = 100
_SAID_LINES = 12


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
        self._left = _Left()
        self._requests = Requests(desk.journal)
        self._resources = ""
        self._read_until = -1
        self._read_as: OpenTask | None = None
        self._sure = False
        self._reading = False

    def body(self) -> Iterator[Widget]:
        with VerticalScroll(id="scroll"):
            yield Sheet()

    @property
    def interest(self) -> Interest:
        """Of the node that has it: how it goes there, and what it writes."""
        task = self._open
        return Interest((task[0],) if task and task[0] else (), self.about)

    @property
    def _open(self) -> OpenTask | None:
        index = self._index
        return self.desk.status.jobs[index].open.get(self.ordinal) if index >= 0 else None

    def show(self) -> None:
        position = self.desk.view.position
        if position != self._read_until and not self._reading:
            before, self._read_until = self._read_until, position
            again = position > before >= 0
            if not self._is_told(again):
                self._reading = True
                self._read(before if again else 0, position)
        self.query_one(Sheet).give(lambda width: [*self._standing(width), *self._story(width)])

    def _is_told(self, again: bool) -> bool:
        """Whether it stands as it did when its story was read, twice: a last record may be late.

        Whatever happens to a task changes how it stands, so that it need not be looked for among
        thousands of records a second.
        """
        task = self._open
        same = again and task == self._read_as
        told = same and self._sure
        self._read_as, self._sure = task, same and bool(task or self._chapters)
        return told

    @work(thread=True)
    def _read(self, after: int, until: int) -> None:
        """What has come since the last look, or everything; the newest first."""
        found: list[Chapter] = []
        resources = ""
        try:
            for chapters in story(self.desk.journal, until, self._index, self.ordinal, after):
                found += chapters
                if len(found) >= _CHAPTERS:
                    break
            lane = next((c.lane for c in found if c.lane is not None), 0)
            resources = self._requests.of(self._index, self.job, lane)
        except JournalError:
            pass  # the feed says what is wrong with the journal
        left = _left_by(self.desk, found)
        self.app.call_from_thread(self._got, found, left, resources, after > 0)

    def _got(self, found: list[Chapter], left: _Left, resources: str, more: bool) -> None:
        self._reading = False
        self._chapters = ([*found, *self._chapters] if more else found)[:_CHAPTERS]
        self._left = left if left.outputs or not more else self._left
        self._resources = resources
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
        task = job.open.get(self.ordinal)
        if task is None:
            said = " it has ended" if self._chapters else " it has not begun"
            lines.append([(said, "dim"), (about, "dim")])
        elif not task[0]:
            lines.append([(" waiting for another try", "warn"), (f" ({_candidates(task[1])})", "")])
        else:
            lines += self._at_work(task, index, usual, about, width)
        if self._resources:
            lines.append([(" asks for ", "dim"), (self._resources, "")])
        if job.held:
            lines.append([(f" {self.job} is held: {job.held}", "bad")])
        return lines

    def _at_work(
        self, task: OpenTask, index: int, usual: float | None, about: str, width: int
    ) -> list[Line]:
        desk = self.desk
        node, size, sent_at, _, _ = task
        elapsed = max(0.0, desk.now - sent_at) if sent_at else 0.0
        load = desk.load_of(node) or {}
        rows = load.get("running", ())
        mine = [row for row in rows if (row["job"], row["ordinal"]) == (index, self.ordinal)]
        lines: list[Line] = [
            [
                (" with ", ""),
                (node, "good"),
                (f" for {duration(elapsed)}, {_candidates(size)}{about}", ""),
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
        for job, ordinal, text in load.get("said", ()):
            if (job, ordinal) == (index, self.ordinal) and text:
                lines.append(heading("what it writes", width))
                lines += [[(f" {line}", "")] for line in text.splitlines()[-_SAID_LINES:]]
        return lines

    def _story(self, width: int) -> list[Line]:
        lines: list[Line] = []
        lines += drawn(self._left.series, width, 8)
        lines += told(self._left.corrections, width)
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


def _candidates(number: int) -> str:
    return f"{count(number)} candidate{'' if number == 1 else 's'}"


class _Left(NamedTuple):
    """What the calculator left with the first candidate that came out."""

    outputs: int = 0
    series: list[Series] = []  # noqa: RUF012 - a NamedTuple default; never changed
    corrections: list[str] = []  # noqa: RUF012 - as above


def _left_by(desk: Desk, chapters: list[Chapter]) -> _Left:
    for chapter in chapters:
        for place in chapter.outputs[:1]:
            try:
                data = read_candidate(desk.journal, place).data
            except (JournalError, BadResult):
                continue
            return _Left(len(chapter.outputs), series_of(data), corrections_of(data))
    return _Left()


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
    if not job:
        return
    status = page.desk.status
    number = sum(each.quarantined for each in status.jobs if each.name == job)
    page.act("retry", job, f"Try the {count(number)} quarantined candidates of {job} again.")


def hold(page: Page, job: str) -> None:
    """Ask for no more tasks of a job."""
    if not job:
        return
    running = sum(each.running for each in page.desk.status.jobs if each.name == job)
    page.act("hold", job, f"Hold {job}: none of its tasks is sent any more; {running} run on.")


def release(page: Page, job: str) -> None:
    """Ask for a held job to go on."""
    if not job:
        return
    page.act("release", job, f"Release {job}: its tasks are sent again.")
