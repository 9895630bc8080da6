"""What the master knows of the loads of its nodes, for those who look."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from stargen.master.nodes import Nodes
from stargen.messages import Load


def looked(nodes: Nodes, since: float, at: Sequence[str], task: list[int] | None) -> dict[str, Any]:
    """Samples that came after `since`, which nodes have no link, and more of the nodes `at`.

    `at` of the answer is the next one's `since`. Agents are told that somebody looks.
    """
    nodes.look(at, task)
    keepers = nodes.keepers
    named = set(at)
    return {
        "at": time.monotonic(),
        "loads": {
            name: load_json(keeper.load, running=name in named)
            for name, keeper in keepers.items()
            if keeper.load is not None and (keeper.load_at > since or name in named)
        },
        "unlinked": [name for name, keeper in keepers.items() if not keeper.connected],
        "silent_s": {name: keepers[name].silent_s for name in at if name in keepers},
    }


def load_json(load: Load, *, running: bool) -> dict[str, Any]:
    """A sample as plain values; `running`: with its tasks and what was asked of it alone."""
    form: dict[str, Any] = {
        "cpu_percent": load.cpu_percent,
        "memory_used_gib": load.memory_used_gib,
        "memory_total_gib": load.memory_total_gib,
        "disk_free_gib": load.disk_free_gib,
        "scratch_gib": load.scratch_gib,
        "buffered": load.buffered,
        "io_pressure": load.io_pressure,
        "cpu_pressure": load.cpu_pressure,
        "memory_pressure": load.memory_pressure,
        "disks": load.disks,
        "celsius": load.celsius,
        "gpus": load.gpus,
    }
    if running:
        form["running"] = [row._asdict() for row in load.running]
        form["cores"] = load.cores
        form["said"] = load.said
    return form
