"""Tasks: those that are open and those that ended of late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from stargen.quantities import count, duration
from stargen.tui.desk import Desk
from stargen.tui.link import Interest
from stargen.tui.pages import WINDOW
from stargen.tui.screens.task import TaskPage, cancel, explain_task, hold, release, retry
from stargen.tui.tasks import TaskRow, chosen
from stargen.tui.widgets.marks import bar
from stargen.tui.widgets.table import Cell, Column, Order, Row, Table
from stargen.tui.windowed import Windowed

_TASKS = (
    Column("task", 20, sort=True),
    Column("state", 11, sort=True),
    Column("node", 14, sort=True),
    Column("elapsed", 11, right=True, sort=True),
    Column("of about", 11, right=True, rank=2),
    Column("", 8, rank=1),
    Column("size", 6, right=True, sort=True, rank=3),
    Column("what came of it", 0),
)
_ORDER = Order("elapsed", True)
_STYLES = {"running": "good", "buffered": "dim", "waiting": "warn", "finished": "accent"}


class Tasks(Windowed):
    """All tasks that are remembered."""

    tab = "tasks"
    filtered = "task job state node error"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "explain", "Why?"),
        Binding("C", "cancel", "Cancel"),
        Binding("R", "retry", "Retry"),
        Binding("H", "hold", "Hold", show=False),
        Binding("L", "release", "Release", show=False),
    ]

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._rows: list[TaskRow] = []

    def body(self) -> Iterator[Widget]:
        yield Table(_TASKS, id="tasks", title="tasks", empty="no such task", order=_ORDER)

    @property
    def interest(self) -> Interest:
        """Which of the tasks that are to be seen run, and which lie in a buffer."""
        seen = self._rows[self.query_one(Table).in_sight]
        nodes = dict.fromkeys(row.node for row in seen if row.node)
        return Interest(tuple(nodes), whole=not self._at_first_sight)

    @property
    def _at_first_sight(self) -> bool:
        """Whether those that were sent first are shown, as at the beginning."""
        return self.query_one(Table).order == _ORDER and not (self.filter.words or self.first)

    def show(self) -> None:
        table = self.query_one(Table)
        order = table.order or Order("task")
        rows, total = chosen(
            self.desk,
            self.filter,
            order.column,
            reverse=order.reverse,
            first=self.first,
            most=WINDOW,
        )
        if not rows and self.first:
            self.first = 0
            self.show()
            return
        self._rows = rows
        table.give([_task_row(row) for row in rows], self.span(len(rows), total))

    def action_explain(self) -> None:
        explain_task(self, self.query_one(Table).key)

    def action_cancel(self) -> None:
        cancel(self, self.query_one(Table).key)

    @property
    def _job(self) -> str:
        return (self.query_one(Table).key or "").rpartition("/")[0]

    def action_retry(self) -> None:
        retry(self, self._job)

    def action_hold(self) -> None:
        hold(self, self._job)

    def action_release(self) -> None:
        release(self, self._job)

    def on_table_opened(self, event: Table.Opened) -> None:
        self.dashboard.open(TaskPage(self.desk, event.key))


def _task_row(row: TaskRow) -> Row:
    style = _STYLES.get(row.state, "bad")
    usual = row.usual_s
    running = row.state == "running"
    late = running and usual is not None and row.elapsed_s > 3 * usual and row.elapsed_s > 60
    share = row.elapsed_s / usual if running and usual else None
    cells: list[Cell] = [
        row.key,
        (row.state, style),
        row.node or "-",
        (duration(row.elapsed_s) if row.elapsed_s else "-", "warn" if late else ""),
        "-" if usual is None else duration(usual),
        bar(share, 8, "warn" if late else "good") if share is not None else "",
        count(row.size) if row.size else "-",
        (row.said, "dim" if row.state == "finished" else ""),
    ]
    return Row(row.key, cells)
