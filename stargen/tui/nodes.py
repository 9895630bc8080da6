"""What pages say of nodes: rows, marks, resources in words."""

from __future__ import annotations

from typing import Any, NamedTuple

from stargen.status import NodeStatus
from stargen.tui.desk import Desk
from stargen.tui.usage import MEASURES, Reading, reading_of
from stargen.tui.widgets.heatgrid import Node
from stargen.tui.widgets.marks import LEVELS, heat

COLOURS = ("state", *MEASURES, "temperature")
"""What the grid can be coloured by."""

_COOL, _HOT = 30.0, 95.0

STATE_STYLES = {
    "busy": "good",
    "idle": "dim",
    "no link": "warn",
    "draining": "warn",
    "suspended": "bad",
    "lost": "bad",
    "left": "dim",
}
_STATE_MARKS = {
    "busy": "■",
    "idle": "□",
    "no link": "?",
    "draining": "▽",
    "suspended": "!",
    "lost": "×",
    "left": "·",
}


class NodeRow(NamedTuple):
    """A node, how it stands, and its last sample if there is one."""

    node: NodeStatus
    state: str
    load: dict[str, Any] | None
    reading: Reading | None

    @property
    def cores(self) -> int:
        return int(self.node.resources[0]) if self.node.resources else 0

    @property
    def gpus(self) -> float:
        return float(self.node.resources[1]) if len(self.node.resources) > 1 else 0.0


def node_rows(desk: Desk) -> list[NodeRow]:
    """Every node in the order in which they joined."""
    live = desk.live
    rows: list[NodeRow] = []
    for node in desk.status.nodes.values():
        load = live.loads.get(node.name) if live is not None else None
        unlinked = live is not None and node.name in live.unlinked
        reading = reading_of(load) if load is not None else None
        rows.append(NodeRow(node, _state(node, unlinked), load, reading))
    return rows


def _state(node: NodeStatus, unlinked: bool) -> str:
    if node.state != "ready":
        return node.state
    if unlinked:
        return "no link"
    return "busy" if node.running else "idle"


def cell(row: NodeRow, colour: str) -> Node:
    """A node's cell in the grid."""
    name = row.node.name
    if colour == "state" or row.state in ("lost", "suspended", "left"):
        return Node(name, _STATE_MARKS.get(row.state, "·"), STATE_STYLES.get(row.state, ""))
    value = _percent_of(row.reading, colour) if row.reading is not None else None
    if value is None:
        return Node(name, "·", "dim")
    return Node(name, LEVELS[max(1, min(8, round(value / 12.5)))], heat(value))


def _percent_of(reading: Reading, colour: str) -> float | None:
    """How high on its scale; that of temperatures goes from _COOL to _HOT."""
    if colour in MEASURES:
        return MEASURES[colour](reading)
    if reading.celsius is None:
        return None
    return max(0.0, min(100.0, 100.0 * (reading.celsius - _COOL) / (_HOT - _COOL)))


def legend(rows: list[NodeRow], colour: str) -> str:
    """What the marks mean, for what there is."""
    if colour == "temperature":
        return f"▁ {_COOL:.0f} °C or less to █ {_HOT:.0f} °C"
    if colour != "state":
        return "▁ little to █ all"
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.state] = counts.get(row.state, 0) + 1
    return "  ".join(
        f"{mark} {counts[state]} {state}"
        for state, mark in _STATE_MARKS.items()
        if counts.get(state)
    )
