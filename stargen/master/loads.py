"""What the master knows of the loads of its nodes, for those who look.

Samples of thousands of nodes are told every second: they travel packed, as the values alone.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Container, Iterable, Sequence
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
"""Only told of a node that is named alone."""

_values = attrgetter(*_FIELDS)
_close_values = attrgetter(*_CLOSE_FIELDS)


def looked(nodes: Nodes, since: float, at: Sequence[str], task: list[int] | None) -> dict[str, Any]:
    """Samples that came after `since`, which nodes have no link, and more of the nodes `at`.

    `at` of the answer is the next one's `since`. Agents are told that somebody looks.
    """
    nodes.look(at, task)
    keepers = nodes.keepers
    named = set(at)
    samples = (
        (name, keeper.load)
        for name, keeper in keepers.items()
        if keeper.load is not None and (keeper.load_at > since or name in named)
    )
    return {
        "at": time.monotonic(),
        "loads": pack_loads(samples, named, closely=len(named) == 1),
        "unlinked": [name for name, keeper in keepers.items() if not keeper.connected],
        "silent_s": {name: keepers[name].silent_s for name in at if name in keepers},
    }


def load_json(load: Load) -> dict[str, Any]:
    """A sample as plain values, without its tasks."""
    return dict(zip(_FIELDS, _values(load), strict=True))


def pack_loads(samples: Iterable[tuple[str, Load]], named: Container[str], *, closely: bool) -> str:
    """Rows of the node, its sample, and if it is `named` what runs there, in base64.

    What runs there is the (job, ordinal) of each task; with `closely` also `_CLOSE_FIELDS`.
    """
    rows: list[tuple[Any, ...]] = []
    for name, load in samples:
        row = (name, *_values(load))
        if name in named:
            row += ([task[:2] for task in load.running], *(_close_values(load) if closely else ()))
        rows.append(row)
    return base64.b64encode(pack(rows)).decode()


def unpack_loads(text: str) -> dict[str, dict[str, Any]]:
    """The samples by node, as `load_json` has them.

    Of those that were named with ``tasks``, the set of (job, ordinal) that run there; and with
    `_CLOSE_FIELDS` of one that was named alone.
    """
    names = (*_FIELDS, "tasks", *_CLOSE_FIELDS)
    loads: dict[str, dict[str, Any]] = {}
    for name, *row in unpack(base64.b64decode(text)):
        loads[name] = load = dict(zip(names, row, strict=False))
        if "tasks" in load:
            load["tasks"] = {(job, ordinal) for job, ordinal in load["tasks"]}
        if "running" in load:
            load["running"] = [RunningTask(*task)._asdict() for task in load["running"]]
    return loads
