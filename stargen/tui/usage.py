"""What the devices did of late: samples that masters told while this viewer looked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

_SAMPLES = 600
_OF_A_NODE = 120


class Reading(NamedTuple):
    """One moment, in percent: of one node, or the mean of all; None where nothing is known.

    `celsius` is of the hottest sensor of the machine or of its GPUs.
    """

    cpu: float
    memory: float
    gpu: float | None
    io: float
    celsius: float | None = None


MEASURES: dict[str, Callable[[Reading], float | None]] = {
    "cpu": lambda r: r.cpu,
    "memory": lambda r: r.memory,
    "gpu": lambda r: r.gpu,
    "io": lambda r: r.io,
}


class Usage:
    """Remembers a bounded number of readings, of each node and of all together."""

    def __init__(self) -> None:
        self.all: deque[Reading] = deque(maxlen=_SAMPLES)
        self.nodes: dict[str, deque[Reading]] = {}

    def take(self, loads: Mapping[str, Mapping[str, Any]], fresh: Iterable[str]) -> None:
        """Take one round in: the samples of all nodes, of which the `fresh` ones are new."""
        for name in fresh:
            history = self.nodes.setdefault(name, deque(maxlen=_OF_A_NODE))
            history.append(reading_of(loads[name]))
        found = [self.nodes[name][-1] for name in loads if name in self.nodes]
        if found:
            self.all.append(_mean(found))


def reading_of(load: Mapping[str, Any]) -> Reading:
    """A node's sample in percent."""
    gpus: list[list[float]] = load.get("gpus") or []
    total = load["memory_total_gib"]
    heat = max([load["celsius"], *(gpu[4] for gpu in gpus if len(gpu) > 4)])
    return Reading(
        load["cpu_percent"],
        100.0 * load["memory_used_gib"] / total if total else 0.0,
        sum(gpu[1] for gpu in gpus) / len(gpus) if gpus else None,
        load["io_pressure"],
        heat or None,
    )


def _mean(readings: list[Reading]) -> Reading:
    n = len(readings)
    gpus = [reading.gpu for reading in readings if reading.gpu is not None]
    return Reading(
        sum(reading.cpu for reading in readings) / n,
        sum(reading.memory for reading in readings) / n,
        sum(gpus) / len(gpus) if gpus else None,
        sum(reading.io for reading in readings) / n,
    )
