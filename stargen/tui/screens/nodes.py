"""Nodes: a grid of all, a table of those that are looked for, and one node by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from stargen.quantities import clock, count, duration
from stargen.status import OpenTask
from stargen.tui.desk import Desk
from stargen.tui.ink import Drawn, Line, heading
from stargen.tui.link import Interest
from stargen.tui.nodes import (
    COLOURS,
    STATE_STYLES,
    NodeRow,
    cell,
    legend,
    node_rows,
)
from stargen.tui.page import Page
from stargen.tui.pages import WINDOW
from stargen.tui.requests import in_words
from stargen.tui.screens.task import TaskPage
from stargen.tui.usage import MEASURES
from stargen.tui.widgets.heatgrid import HeatGrid
from stargen.tui.widgets.marks import LEVELS, bar, heat, sparkline
from stargen.tui.widgets.table import Cell, Column, Order, Row, Table
from stargen.tui.windowed import Windowed
from stargen.tui.words import short

_NODES = (
    Column("node", 16, sort=True),
    Column("state", 9, sort=True),
    Column("pool", 10, sort=True, rank=4),
    Column("cpu", 12, sort=True),
    Column("memory", 12, sort=True, rank=1),
    Column("gpu", 6, right=True, sort=True, rank=3),
    Column("running", 8, right=True, sort=True),
    Column("finished", 9, right=True, sort=True, rank=1),
    Column("failed", 7, right=True, sort=True),
    Column("cores", 6, right=True, sort=True, rank=5),
    Column("reason", 0, rank=2),
)
_KEYS: dict[str, Callable[[NodeRow], Any]] = {
    "node": lambda row: row.node.name,
    "state": lambda row: row.state,
    "pool": lambda row: row.node.pool,
    "cpu": lambda row: row.reading.cpu if row.reading else -1.0,
    "memory": lambda row: row.reading.memory if row.reading else -1.0,
    "gpu": lambda row: (row.reading.gpu or 0.0) if row.reading else -1.0,
    "running": lambda row: row.node.running,
    "finished": lambda row: row.node.finished,
    "failed": lambda row: row.node.failed,
    "cores": lambda row: row.cores,
}
_VIEWS = ("both", "grid", "table")
_LONG_SILENT_S = 15.0
_WARM = 85.0


class Nodes(Windowed):
    """All nodes."""

    tab = "nodes"
    filtered = "node state pool reason"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "colour", "Colour"),
        Binding("v", "view", "View"),
        Binding("D", "drain", "Drain"),
        Binding("U", "undrain", "Undrain", show=False),
    ]

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._colour = 0
        self._view = 0

    def body(self) -> Iterator[Widget]:
        yield HeatGrid(id="grid")
        yield Table(
            _NODES, id="nodes", title="nodes", empty="no such node", order=Order("node", False)
        )

    def show(self) -> None:
        rows = node_rows(self.desk)
        colour = COLOURS[self._colour]
        grid, table = self.query_one(HeatGrid), self.query_one("#nodes", Table)
        grid.give([cell(row, colour) for row in rows], f"nodes by {colour}", legend(rows, colour))
        self._arrange(grid, table)
        chosen = [row for row in rows if self._accepts(row)]
        if table.order is not None:
            chosen.sort(key=_KEYS[table.order.column], reverse=table.order.reverse)
        part = self.part(chosen)
        table.give([_node_row(row) for row in part], self.span(len(part), len(chosen)))

    def _arrange(self, grid: HeatGrid, table: Table) -> None:
        view = _VIEWS[self._view]
        grid.display, table.display = view != "table", view != "grid"
        most = max(3, (self.size.height - 5) // 2) if view == "both" else 10_000
        height = min(grid.rows_needed(), most)
        if grid.styles.height is None or grid.styles.height.value != height:
            grid.styles.height = height

    def _accepts(self, row: NodeRow) -> bool:
        node = row.node
        cells = {"node": node.name, "state": row.state, "pool": node.pool, "reason": node.reason}
        return self.filter.accepts(cells)

    @property
    def _here(self) -> str | None:
        if isinstance(self.focused, HeatGrid):
            return self.focused.name_here
        return self.query_one("#nodes", Table).key

    def action_colour(self) -> None:
        self._colour = (self._colour + 1) % len(COLOURS)
        self.show()

    def action_view(self) -> None:
        self._view = (self._view + 1) % len(_VIEWS)
        self.show()
        (
            self.query_one(HeatGrid) if _VIEWS[self._view] == "grid" else self.query_one(Table)
        ).focus()

    def action_drain(self) -> None:
        drain(self, self._here)

    def action_undrain(self) -> None:
        undrain(self, self._here)

    def on_table_opened(self, event: Table.Opened) -> None:
        self.dashboard.open(NodePage(self.desk, event.key))

    def on_heat_grid_opened(self, event: HeatGrid.Opened) -> None:
        self.dashboard.open(NodePage(self.desk, event.name))

    def on_heat_grid_moved(self, event: HeatGrid.Moved) -> None:
        self.query_one("#nodes", Table).go_to(event.name)


def drain(page: Page, node: str | None) -> None:
    """Ask for a node to take no more work."""
    if node is not None and node in page.desk.status.nodes:
        running = page.desk.status.nodes[node].running
        what = f"Drain node {node}: it takes no more tasks; {running} that it has run to their end."
        page.act("drain", node, what)


def undrain(page: Page, node: str | None) -> None:
    """Ask for a node to take work again."""
    if node is not None:
        page.act("undrain", node, f"Let node {node} take tasks again.")


def _node_row(row: NodeRow) -> Row:
    node, reading = row.node, row.reading
    style = STATE_STYLES.get(row.state, "")
    cells: list[Cell] = [
        short(node.name, 16),
        (row.state, style),
        short(node.pool, 10),
        _percent(reading.cpu if reading else None),
        _percent(reading.memory if reading else None),
        "-" if reading is None or reading.gpu is None else f"{reading.gpu:.0f} %",
        count(node.running) if node.running else "-",
        count(node.finished),
        (count(node.failed), "warn") if node.failed else "-",
        count(row.cores),
        (node.reason, style),
    ]
    return Row(node.name, cells)


def _percent(value: float | None) -> Line:
    if value is None:
        return [("-", "dim")]
    return [*bar(value / 100, 6, heat(value)), (f"{value:>4.0f} %", "")]


class _Devices(Drawn):
    """What one node has and does."""

    def __init__(self, page: NodePage) -> None:
        super().__init__(id="node-devices")
        self._page = page

    def draw(self, width: int, height: int) -> list[Line]:
        desk, name = self._page.desk, self._page.node
        row = next((row for row in node_rows(desk) if row.node.name == name), None)
        if row is None:
            return [[(f" node {name} has not joined at this moment", "dim")]]
        node, style = row.node, STATE_STYLES.get(row.state, "")
        lines: list[Line] = [
            heading(f"node {name}", width, f"pool {node.pool}"),
            [(" ", ""), (row.state, style), (f"  {node.reason}", style)],
            [(f" {in_words(node.resources)}", ""), *_heard(desk, name)],
            [
                (f" {count(node.running)} running", "bold"),
                (f"  {count(node.finished)} finished  ", ""),
                (f"{count(node.failed)} failed", "warn" if node.failed else "dim"),
                (f"  agent {node.agent_id[:12]}, incarnation {node.incarnation}", "dim"),
            ],
        ]
        return lines + self._loads(row, width)

    def _loads(self, row: NodeRow, width: int) -> list[Line]:
        load, history = row.load, self._page.desk.usage.nodes.get(row.node.name, ())
        if load is None or row.reading is None:
            return [[(" loads are known while a master runs and the node has a link", "dim")]]
        lines: list[Line] = []
        room = max(4, min(60, width - 40))
        facts = {
            "memory": f"{load['memory_used_gib']:.1f} of {load['memory_total_gib']:.1f} GiB",
            "cpu": f"{load['buffered']} tasks buffered",
            "io": f"{load['disk_free_gib']:.0f} GiB free on disk, scratch of tasks"
            f" {load['scratch_gib']:.1f} GiB",
        }
        for name, of in MEASURES.items():
            values = [value for each in history if (value := of(each)) is not None]
            if values:
                lines.append(
                    [
                        (f" {name:<7}", "dim"),
                        (sparkline(values, room, 100.0), heat(values[-1])),
                        (f"{values[-1]:>5.0f} %  ", "bold"),
                        (facts.get(name, ""), "dim"),
                    ]
                )
        for index, busy, used, total, *warm in load["gpus"]:
            line: Line = [(f" GPU {index:<3.0f}", "dim"), *bar(busy / 100, 20, heat(busy))]
            celsius = f"  {warm[0]:.0f} °C" if warm and warm[0] else ""
            lines.append([*line, (f"{busy:>5.0f} %  {used:.1f} of {total:.1f} GiB{celsius}", "")])
        return lines + _cores(load.get("cores", ()), load["celsius"], width)


def _heard(desk: Desk, name: str) -> Line:
    """How long ago the agent gave its last sign of life."""
    if desk.live is None:
        return []
    silent_s = desk.live.silent_s.get(name)
    if silent_s is None:
        return []
    style = "warn" if silent_s > _LONG_SILENT_S else "good"
    return [("   heard of ", "dim"), (f"{duration(silent_s)} ago", style)]


def _cores(cores: Sequence[float], celsius: float, width: int) -> list[Line]:
    """One mark for each core."""
    line: Line = [(" cores  ", "dim")]
    most = max(1, width - 24)
    line += [(LEVELS[max(1, min(8, round(c / 12.5)))], heat(c)) for c in cores[:most]]
    if celsius:
        line.append((f"  {celsius:.0f} °C", "warn" if celsius > _WARM else ""))
    return [line] if cores or celsius else []


_RUNNING = (
    Column("task", 20),
    Column("elapsed", 11, right=True),
    Column("of about", 11, right=True),
    Column("progress", 14),
    Column("memory", 9, right=True, rank=1),
    Column("attempt", 9, rank=2),
    Column("", 0),
)
_ENDED = (
    Column("at", 8),
    Column("task", 20),
    Column("how", 10),
    Column("took", 11, right=True),
    Column("what", 0),
)


class NodePage(Page):
    """One node: devices, what it runs, what went wrong on it."""

    tab = "nodes"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "failures", "Failures alone"),
        Binding("D", "drain", "Drain"),
        Binding("U", "undrain", "Undrain"),
    ]

    def __init__(self, desk: Desk, node: str) -> None:
        super().__init__(desk)
        self.node = node
        self.trail = [node]
        self._failures_alone = False

    def body(self) -> Iterator[Widget]:
        yield _Devices(self)
        yield Table(_RUNNING, id="running", title="running tasks", empty="nothing runs here")
        yield Table(_ENDED, id="ended", title="what ended here", empty="nothing of late")

    def show(self) -> None:
        panel = self.query_one(_Devices)
        panel.redraw()
        height = max(4, len(panel.text.splitlines()))
        if panel.styles.height is None or panel.styles.height.value != height:
            panel.styles.height = height
        rows = self._running_rows()
        running = self.query_one("#running", Table)
        running.give(rows)
        running.styles.max_height = max(1, len(rows)) + 2
        ended = self.query_one("#ended", Table)
        ended.title = "what failed here" if self._failures_alone else "what ended here"
        ended.give(self._ended_rows())

    @property
    def interest(self) -> Interest:
        """Of this node: its cores, what it runs, how long it has been silent."""
        return Interest((self.node,))

    def action_failures(self) -> None:
        self._failures_alone = not self._failures_alone
        self.show()

    def _running_rows(self) -> list[Row]:
        desk, status = self.desk, self.desk.status
        said: list[dict[str, Any]] | None = (desk.load_of(self.node) or {}).get("running")
        told = {(t["job"], t["ordinal"]): t for t in said or ()}
        rows: list[Row] = []
        for index, job in enumerate(status.jobs):
            usual = job.busy_s / job.finished if job.finished else None
            for ordinal, task in job.open.items():
                if task[0] == self.node:
                    key, row = f"{job.name}/{ordinal}", told.get((index, ordinal))
                    if row is None and said is not None:
                        rows.append(_buffered_row(key, task, usual))
                    else:
                        elapsed = row["elapsed_s"] if row else max(0.0, desk.now - task[2])
                        rows.append(_running_row(key, task, elapsed, row or {}, usual))
        rows.sort(key=lambda row: row.style)  # what runs before what waits in the buffer
        return rows[:WINDOW]

    def _ended_rows(self) -> list[Row]:
        jobs = self.desk.status.jobs
        rows: list[Row] = []
        for end in self.desk.view.trail.recent():
            wanted = end.how != "finished" or not self._failures_alone
            if end.node == self.node and wanted:
                key = f"{jobs[end.job].name}/{end.ordinal}"
                style = "" if end.how == "finished" else "warn"
                took = "-" if end.duration_s is None else duration(end.duration_s)
                rows.append(
                    Row(key, [clock(end.at), key, (end.how, style), took, (end.said, "dim")])
                )
            if len(rows) >= WINDOW // 2:
                break
        return rows

    def action_drain(self) -> None:
        drain(self, self.node)

    def action_undrain(self) -> None:
        undrain(self, self.node)

    def on_table_opened(self, event: Table.Opened) -> None:
        self.dashboard.open(TaskPage(self.desk, event.key, [self.node]))


def _running_row(
    key: str, task: OpenTask, elapsed: float, told: dict[str, Any], usual: float | None
) -> Row:
    share = told["done"] / told["total"] if told.get("total") else None
    if share is None and usual:
        share = min(1.0, elapsed / usual)
    late = usual is not None and elapsed > 3 * usual and elapsed > 60
    cells: list[Cell] = [
        key,
        (duration(elapsed), "warn" if late else ""),
        _about(usual),
        bar(share, 12, "warn" if late else "good") if share is not None else "",
        f"{told['rss_gib']:.2f} GiB" if told.get("rss_gib") else "-",
        _attempt(task),
        "",
    ]
    return Row(key, cells)


def _buffered_row(key: str, task: OpenTask, usual: float | None) -> Row:
    note = ("in the buffer", "dim")
    return Row(key, [key, "-", _about(usual), note, "-", _attempt(task), ""], "dim")


def _about(usual: float | None) -> str:
    return "-" if usual is None else duration(usual)


def _attempt(task: OpenTask) -> str:
    *_, epoch, n = task
    return f"{epoch}.{n}" if epoch else "-"
