"""Pools and what batch systems gave for them: nodes, work, time left, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from textual.widget import Widget

from stargen.quantities import clock, count, duration
from stargen.status import AllocationStatus
from stargen.tui.allocations import time_left_s
from stargen.tui.nodes import NodeRow, node_rows
from stargen.tui.page import Page
from stargen.tui.pages import WINDOW
from stargen.tui.widgets.marks import bar, heat
from stargen.tui.widgets.table import Cell, Column, Row, Table

_POOLS = (
    Column("pool", 16),
    Column("nodes", 7, right=True),
    Column("busy", 14),
    Column("cpu", 12, rank=1),
    Column("cores", 8, right=True, rank=2),
    Column("GPUs", 6, right=True, rank=3),
    Column("running", 9, right=True),
    Column("finished", 10, right=True, rank=1),
    Column("failed", 8, right=True, rank=2),
    Column("not at work", 0),
)
_ALLOCATIONS = (
    Column("allocation", 16),
    Column("pool", 10, rank=3),
    Column("batch job", 10, rank=2),
    Column("state", 9),
    Column("nodes", 5, right=True),
    Column("since", 8, rank=1),
    Column("time left", 24),
    Column("what was said", 0),
)
_STYLES = {"running": "good", "queued": "accent", "planned": "dim", "refused": "bad"}
_SHORT_S = 600.0


@dataclass
class _Pool:
    nodes: int = 0
    busy: int = 0
    ready: int = 0
    cores: int = 0
    gpus: float = 0.0
    running: int = 0
    finished: int = 0
    failed: int = 0
    cpu: float = 0.0
    sampled: int = 0

    def add(self, row: NodeRow, away: dict[str, int]) -> None:
        self.nodes += 1
        self.cores += row.cores
        self.gpus += row.gpus
        self.running += row.node.running
        self.finished += row.node.finished
        self.failed += row.node.failed
        if row.state in ("busy", "idle"):
            self.ready += 1
            self.busy += row.state == "busy"
        else:
            away[row.state] = away.get(row.state, 0) + 1
        if row.reading is not None:
            self.sampled += 1
            self.cpu += row.reading.cpu


class Allocations(Page):
    """One line for each pool, and one for each job in a batch system."""

    tab = "allocations"
    filtered = "allocation pool state said"

    def body(self) -> Iterator[Widget]:
        yield Table(_POOLS, id="pools", title="pools", empty="no node has joined")
        yield Table(
            _ALLOCATIONS,
            id="allocations",
            title="allocations",
            empty="none: no pool here takes its nodes from a batch system",
        )

    def show(self) -> None:
        pools: dict[str, _Pool] = {}
        away: dict[str, dict[str, int]] = {}
        for row in node_rows(self.desk):
            pool = pools.setdefault(row.node.pool, _Pool())
            pool.add(row, away.setdefault(row.node.pool, {}))
        table = self.query_one("#pools", Table)
        table.give(
            [_pool_row(name, pool, away[name]) for name, pool in pools.items()],
            f"{count(sum(pool.nodes for pool in pools.values()))} nodes" if pools else "",
        )
        height = min(max(1, len(pools)) + 2, max(4, self.size.height // 2))
        if table.styles.height is None or table.styles.height.value != height:
            table.styles.height = height
        self._show_allocations()

    def _show_allocations(self) -> None:
        now = self.desk.now
        every = self.desk.status.allocations.values()
        newest = sorted(every, key=lambda a: (a.state != "running", -a.since))
        chosen = [a for a in newest if self.filter.accepts(_cells(a))][:WINDOW]
        running = sum(a.state == "running" for a in every)
        note = f"{running} running of {len(every)}" if every else ""
        self.query_one("#allocations", Table).give([_row(a, now) for a in chosen], note)

    def on_table_opened(self, event: Table.Opened) -> None:
        if event.table.id == "pools":
            self.dashboard.show_filtered("nodes", f"pool:{event.key}")
        else:
            self.dashboard.show_filtered("nodes", f"node:{event.key}")


def _pool_row(name: str, pool: _Pool, away: dict[str, int]) -> Row:
    share = pool.busy / pool.ready if pool.ready else 0.0
    cpu = pool.cpu / pool.sampled if pool.sampled else None
    cells: list[Cell] = [
        (name, "bold"),
        count(pool.nodes),
        [*bar(share, 7), (f"{100 * share:>5.0f} %", "")],
        "-" if cpu is None else [*bar(cpu / 100, 6, heat(cpu)), (f"{cpu:>4.0f} %", "")],
        count(pool.cores),
        f"{pool.gpus:g}" if pool.gpus else "-",
        count(pool.running) if pool.running else "-",
        count(pool.finished),
        (count(pool.failed), "warn") if pool.failed else "-",
        (", ".join(f"{n} {state}" for state, n in away.items()), "warn"),
    ]
    return Row(name, cells)


def _cells(allocation: AllocationStatus) -> dict[str, str]:
    return {
        "allocation": allocation.name,
        "pool": allocation.pool,
        "state": allocation.state,
        "said": f"{allocation.reason} {allocation.refused}",
    }


def _row(allocation: AllocationStatus, now: float) -> Row:
    left = time_left_s(allocation, now)
    style = _STYLES.get(allocation.state, "dim")
    time: Cell = [(f"of {duration(allocation.walltime_s)}", "dim")]
    if left is not None:
        short = "warn" if left < _SHORT_S else "good"
        share = left / allocation.walltime_s if allocation.walltime_s else 0.0
        time = [*bar(share, 10, short), (f"  {duration(left)}", short)]
    said = allocation.reason or (f"before: {allocation.refused}" if allocation.refused else "")
    cells: list[Cell] = [
        (allocation.name, "bold"),
        allocation.pool,
        allocation.job_id or "-",
        (allocation.state, style),
        count(allocation.nodes),
        clock(allocation.since),
        time,
        (said, "bad" if allocation.state == "refused" else "dim"),
    ]
    return Row(allocation.name, cells)
