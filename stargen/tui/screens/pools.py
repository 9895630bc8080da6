"""Pools: machines with like resources, and how they stand together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from textual.widget import Widget

from stargen.quantities import count
from stargen.tui.nodes import NodeRow, node_rows
from stargen.tui.page import Page
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


class Pools(Page):
    """One line for each pool."""

    tab = "pools"

    def body(self) -> Iterator[Widget]:
        yield Table(_POOLS, id="pools", title="pools", empty="no node has joined")

    def show(self) -> None:
        pools: dict[str, _Pool] = {}
        away: dict[str, dict[str, int]] = {}
        for row in node_rows(self.desk):
            pool = pools.setdefault(row.node.pool, _Pool())
            pool.add(row, away.setdefault(row.node.pool, {}))
        self.query_one(Table).give(
            [_pool_row(name, pool, away[name]) for name, pool in pools.items()],
            f"{count(sum(pool.nodes for pool in pools.values()))} nodes" if pools else "",
        )

    def on_table_opened(self, event: Table.Opened) -> None:
        self.dashboard.show_filtered("nodes", f"pool:{event.key}")


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
