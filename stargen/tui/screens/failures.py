"""Failures in groups, and what stands still because of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from stargen.quantities import clock, count
from stargen.status import FailureGroup, Status
from stargen.tui.desk import Desk
from stargen.tui.ink import Line, heading
from stargen.tui.page import Page
from stargen.tui.pages import WINDOW
from stargen.tui.screens.nodes import undrain
from stargen.tui.screens.task import TaskPage, hold, release, retry
from stargen.tui.widgets.sheet import Sheet
from stargen.tui.widgets.table import Cell, Column, Order, Row, Table
from stargen.tui.windowed import Windowed
from stargen.tui.words import short

ADVICE = {
    "infrastructure": "tried again elsewhere at no cost; look at the node if it is always the same",
    "walltime": "goes on from its checkpoint; ask for more time if it never gets through",
    "memory": "tried again with more memory; raise memory_gib if most tasks need it",
    "correctable": "tried again with the calculator's corrected input; nothing to do",
    "calculation": "read the output below; retry after mending the calculator or its input",
    "user": "no try can help: mend the campaign file or what it names, then `stargen up` again",
}
"""What a person can do about each class of failure."""

_GROUPS = (
    Column("count", 7, right=True, sort=True),
    Column("failure", 14, sort=True),
    Column("job", 12, sort=True),
    Column("node", 12, sort=True),
    Column("first", 8, rank=3),
    Column("last", 8, sort=True, rank=1),
    Column("verdicts", 22, rank=2),
    Column("message", 0),
)
_STANDS = (Column("what", 7), Column("name", 14), Column("since it", 0))


def advice(group: FailureGroup, status: Status) -> str:
    """What to do about a group of failures."""
    others = {g.node for g in status.failures.values() if g.signature == group.signature}
    finished = status.nodes[group.node].finished if group.node in status.nodes else 0
    if group.failure == "calculation" and len(others) > 2:
        return (
            f"the same on {len(others)} nodes: it is the input or the calculator, not a node. "
            + (ADVICE["calculation"])
        )
    alone = len(others) == 1 and group.count > 2 and len(status.nodes) > 1 and not finished
    if alone and group.failure in ("infrastructure", "calculation"):
        return f"only on {group.node}, which has finished nothing: drain it and look at it"
    return ADVICE.get(group.failure, "")


def _key(group: FailureGroup) -> str:
    return "\n".join((str(group.job), group.failure, group.signature, group.node))


class Failures(Windowed):
    """Groups of like failures, held jobs and nodes set aside."""

    tab = "failures"
    filtered = "job failure node message"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("R", "retry", "Retry"),
        Binding("H", "hold", "Hold", show=False),
        Binding("L", "release", "Release"),
    ]

    def body(self) -> Iterator[Widget]:
        yield Table(
            _GROUPS,
            id="groups",
            title="failures",
            empty="nothing has failed",
            order=Order("count", True),
        )
        yield Table(_STANDS, id="stands", title="held jobs, nodes set aside", empty="none")

    def show(self) -> None:
        status = self.desk.status
        table = self.query_one("#groups", Table)
        groups = [group for group in status.failures.values() if self._accepts(group)]
        order = table.order or Order("count", True)
        groups.sort(key=_orders(status)[order.column], reverse=order.reverse)
        part = self.part(groups)
        total = sum(group.count for group in groups)
        note = f"{count(total)} in {self.span(len(part), len(groups))} groups"
        table.give([_group_row(group, status) for group in part], note if groups else "")
        stands = self.query_one("#stands", Table)
        rows = _standing(status)
        stands.give(rows)
        height = min(8, max(1, len(rows)) + 2)
        if stands.styles.height is None or stands.styles.height.value != height:
            stands.styles.height = height

    def _accepts(self, group: FailureGroup) -> bool:
        return self.filter.accepts(
            {
                "job": self.desk.status.jobs[group.job].name,
                "failure": group.failure,
                "node": group.node,
                "message": group.message,
            }
        )

    @property
    def _job(self) -> str | None:
        """The job that the cursor is about."""
        table = (
            self.focused if isinstance(self.focused, Table) else self.query_one("#groups", Table)
        )
        if table.key is None:
            return None
        if table.id == "stands":
            what, _, name = table.key.partition(" ")
            return name if what == "job" else None
        return self.desk.status.jobs[int(table.key.partition("\n")[0])].name

    def action_retry(self) -> None:
        if self._job is not None:
            retry(self, self._job)

    def action_hold(self) -> None:
        if self._job is not None:
            hold(self, self._job)

    def action_release(self) -> None:
        """Let go on what the cursor is at: a held job, or a node set aside."""
        table = self.query_one("#stands", Table)
        if table.has_focus and table.key is not None and table.key.startswith("node "):
            undrain(self, table.key.removeprefix("node "))
        elif self._job is not None:
            release(self, self._job)

    def on_table_opened(self, event: Table.Opened) -> None:
        if event.table.id == "groups":
            self.dashboard.open(FailurePage(self.desk, event.key))


def _orders(status: Status) -> dict[str, Callable[[FailureGroup], Any]]:
    return {
        "count": lambda g: (g.count, g.last_at),
        "failure": lambda g: (g.failure, -g.count),
        "job": lambda g: (status.jobs[g.job].name, -g.count),
        "node": lambda g: (g.node, -g.count),
        "last": lambda g: (g.last_at, g.count),
    }


def _group_row(group: FailureGroup, status: Status) -> Row:
    style = "bad" if group.failure in ("calculation", "user") else "warn"
    verdicts = ", ".join(f"{verdict} {count(n)}" for verdict, n in group.verdicts.items())
    cells: list[Cell] = [
        (count(group.count), "bold"),
        (group.failure, style),
        short(status.jobs[group.job].name, 12),
        short(group.node, 12),
        clock(group.first_at),
        clock(group.last_at),
        short(verdicts, 22),
        " ".join(group.message.split()),
    ]
    return Row(_key(group), cells)


def _standing(status: Status) -> list[Row]:
    rows = [
        Row(f"job {job.name}", ["job", (job.name, "bad"), job.held])
        for job in status.jobs
        if job.held
    ]
    rows += [
        Row(f"node {node.name}", ["node", (node.name, "bad"), f"{node.state}: {node.reason}"])
        for node in status.nodes.values()
        if node.state in ("suspended", "lost", "draining")
    ]
    return rows[:WINDOW]


class FailurePage(Page):
    """One group: what was said, and what to do."""

    tab = "failures"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("R", "retry", "Retry"),
        Binding("H", "hold", "Hold"),
        Binding("L", "release", "Release"),
        Binding("enter", "task", "Its last task"),
    ]

    def __init__(self, desk: Desk, key: str) -> None:
        super().__init__(desk)
        job, failure, signature, node = key.split("\n", 3)
        self._key = (int(job), failure, signature, node)
        self.trail = [failure]

    def body(self) -> Iterator[Widget]:
        with VerticalScroll(id="scroll"):
            yield Sheet()

    @property
    def group(self) -> FailureGroup | None:
        return self.desk.status.failures.get(self._key)

    def show(self) -> None:
        self.query_one(Sheet).give(partial(_group_lines, self.group, self.desk.status))

    def _job(self) -> str:
        return self.desk.status.jobs[self._key[0]].name

    def action_retry(self) -> None:
        retry(self, self._job())

    def action_hold(self) -> None:
        hold(self, self._job())

    def action_release(self) -> None:
        release(self, self._job())

    def action_task(self) -> None:
        if self.group is not None:
            self.dashboard.open(TaskPage(self.desk, f"{self._job()}/{self.group.ordinal}"))


def _group_lines(group: FailureGroup | None, status: Status, width: int) -> list[Line]:
    if group is None:
        return [[(" nothing of this kind had failed at this moment", "dim")]]
    job = status.jobs[group.job].name
    verdicts = ", ".join(f"{verdict} {count(n)}" for verdict, n in group.verdicts.items())
    lines: list[Line] = [
        heading(f"{group.failure} failure of {job} on {group.node or 'many nodes'}", width),
        [
            (f" {count(group.count)} times", "bold"),
            (f", {clock(group.first_at)} to {clock(group.last_at)}", ""),
        ],
        [(" then  ", "dim"), (verdicts, "")],
        [(" last  ", "dim"), (f"{job}/{group.ordinal}", "accent")],
        [(" do    ", "dim"), (advice(group, status), "good")],
        heading("it said", width),
    ]
    lines += [[(f" {line}", "bold")] for line in group.message.splitlines()]
    if group.detail:
        lines.append(heading("the end of its output", width))
        lines += [[(f" {line}", "")] for line in group.detail.splitlines()]
    return lines
