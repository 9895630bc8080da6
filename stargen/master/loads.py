"""What the master knows of the loads of its nodes, for those who look.

Samples of thousands of nodes are told every second: they travel packed, as the values alone.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

from stargen.codec import pack, unpack
from stargen.master.nodes import Nodes
from stargen.messages import Load, RunningTask

_FIELDS: tuple[str, ...] = (
    "cpu_percent",
    "memory_used_gib",
    "memory_total_gib",
    "disk_free_gib",
    "scratch_gib",
    "buffered",
    "io_pressure",
    "cpu_pressure",
    "memory_pressure",
    "disks",
    "celsius",
    "gpus",
)
_CLOSE_FIELDS: tuple[str, ...] = ("running", "cores", "said")
"""Only told of the nodes that are named."""

_values = attrgetter(*_FIELDS)
_close_values = attrgetter(*_CLOSE_FIELDS)


def looked(nodes: Nodes, since: float, at: Sequence[str], task: list[int] | None) -> dict[str, Any]:
    """Samples that came after `since`, which nodes have no link, and more of the nodes `at`.

    `at` of the answer is the next one's `since`. Agents are told that somebody looks.
    """
    nodes.look(at, task)
    keepers = nodes.keepers
    named = set(at)
    return {
        "at": time.monotonic(),
        "loads": pack_loads(
            (name, keeper.load, name in named)
            for name, keeper in keepers.items()
            if keeper.load is not None and (keeper.load_at > since or name in named)
        ),
        "unlinked": [name for name, keeper in keepers.items() if not keeper.connected],
        "silent_s": {name: keepers[name].silent_s for name in at if name in keepers},
    }


def load_json(load: Load) -> dict[str, Any]:
    """A sample as plain values, without its tasks."""
    return dict(zip(_FIELDS, _values(load), strict=True))


def pack_loads(samples: Iterable[tuple[str, Load, bool]]) -> str:
    """Rows of (node, its sample, whether its tasks and cores are told too), in base64."""
    rows = [
        (name, *_values(load), *(_close_values(load) if closely else ()))
        for name, load, closely in samples
    ]
    return base64.b64encode(pack(rows)).decode()


def unpack_loads(text: str) -> dict[str, dict[str, Any]]:
    """The samples by node, as `load_json` has them, with `_CLOSE_FIELDS` of those told closely."""
    names = _FIELDS + _CLOSE_FIELDS
    loads: dict[str, dict[str, Any]] = {}
    for name, *row in unpack(base64.b64decode(text)):
        loads[name] = load = dict(zip(names, row, strict=False))
        if "running" in load:
            load["running"] = [RunningTask(*task)._asdict() for task in load["running"]]
    return loads
