"""Monitor: what the node and its tasks use, sampled once a second in a thread."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import psutil

from stargen.executing.staging import bytes_in
from stargen.model import AttemptId
from stargen.processes import bytes_moved, out_of_memory_kills, processes

_GIB, _MIB = 2**30, 2**20
_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_GIB = os.sysconf("SC_PAGESIZE") / _GIB


class Use(NamedTuple):
    """What some processes use: memory, how many cores they keep busy, what they move on disks."""

    memory_gib: float = 0.0
    cores: float = 0.0
    io_mib_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the node.

    `use`: by the leader of a session or of a process group; `scratch`: GiB of files by attempt;
    `pressure`: percent of the last ten seconds in which something waited, of "cpu", "memory" and
    "io", as far as the kernel tells; `disks`: rows of [what for, used GiB, total GiB]; `gpus`: rows
    of [index, busy percent, used GiB, total GiB, degrees Celsius]; `cores`: percent of each;
    `celsius`: the hottest sensor of the machine, 0 if there is none.
    """

    cpu_percent: float = 0.0
    memory_used_gib: float = 0.0
    memory_total_gib: float = 0.0
    disk_free_gib: float = 0.0
    pressure: Mapping[str, float] = field(default_factory=dict[str, float])
    out_of_memory_kills: int = 0
    gpus: list[list[float]] = field(default_factory=list[list[float]])
    use: Mapping[int, Use] = field(default_factory=dict[int, Use])
    scratch: Mapping[AttemptId, float] = field(default_factory=dict[AttemptId, float])
    cores: list[float] = field(default_factory=list[float])
    celsius: float = 0.0
    disks: list[list[Any]] = field(default_factory=list[list[Any]])

    def memory_of(self, leader: int) -> float:
        """GiB of what that process leads."""
        return self.use[leader].memory_gib if leader in self.use else 0.0


class Monitor:
    """Takes samples; shares of the CPU and rates are those since the sample before.

    Parameters
    ----------
    disks : {what for: a folder on it}; the free space of the first is reported by itself
    """

    def __init__(self, disks: Mapping[str, Path]) -> None:
        self._folders = dict(disks)
        self._at = time.monotonic()
        self._before: dict[int, tuple[int, int]] = {}
        """{process: CPU ticks and bytes moved} at the last sample."""
        self._nvml = _nvml()
        psutil.cpu_percent(percpu=True)

    def sample(self, folders: Mapping[AttemptId, Path], leaders: Set[int]) -> Sample:
        """Look at everything. Takes milliseconds.

        Parameters
        ----------
        folders : those whose size is to be known
        leaders : processes that lead what is to be known closely
        """
        memory = psutil.virtual_memory()
        disks = self._disks()
        cores = psutil.cpu_percent(percpu=True)
        return Sample(
            sum(cores) / len(cores),
            (memory.total - memory.available) / _GIB,
            memory.total / _GIB,
            disks[0][2] - disks[0][1] if disks else 0.0,
            _pressure(),
            out_of_memory_kills(),
            self._gpus(),
            self._use(leaders),
            {attempt: bytes_in(folder) / _GIB for attempt, folder in folders.items()},
            cores,
            _celsius(),
            disks,
        )

    def _disks(self) -> list[list[Any]]:
        """How full they are; one disk once, under its first name."""
        rows: list[list[Any]] = []
        seen = set[int]()
        for name, folder in self._folders.items():
            with suppress(OSError):
                device, usage = folder.stat().st_dev, psutil.disk_usage(str(folder))
                if device not in seen:
                    seen.add(device)
                    rows.append([name, (usage.total - usage.free) / _GIB, usage.total / _GIB])
        return rows

    def _use(self, leaders: Set[int]) -> dict[int, Use]:
        """What sessions and groups use, by their leaders; nothing if there are none."""
        now = time.monotonic()
        passed_s, self._at = max(now - self._at, 1e-3), now
        before, self._before = self._before, {}
        use: dict[int, Use] = {}
        for process in processes() if leaders else ():  # all of the machine: that costs something
            mine = {process.session, process.group}
            moved = bytes_moved(process.pid) if mine & leaders else 0
            old_ticks, old_moved = before.get(process.pid, (process.cpu_ticks, moved))
            self._before[process.pid] = process.cpu_ticks, moved
            each = Use(
                process.rss_pages * PAGE_GIB,
                max(0, process.cpu_ticks - old_ticks) / _TICKS / passed_s,
                max(0, moved - old_moved) / _MIB / passed_s,
            )
            for leader in mine:
                have = use.get(leader, Use())
                use[leader] = Use(*(a + b for a, b in zip(have, each, strict=True)))
        return use

    def _gpus(self) -> list[list[float]]:
        nvml, rows = self._nvml, list[list[float]]()
        if nvml is None:
            return rows
        with suppress(nvml.NVMLError):
            for index in range(nvml.nvmlDeviceGetCount()):
                device = nvml.nvmlDeviceGetHandleByIndex(index)
                busy = nvml.nvmlDeviceGetUtilizationRates(device).gpu
                memory = nvml.nvmlDeviceGetMemoryInfo(device)
                heat = nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU)
                used, total = memory.used / _GIB, memory.total / _GIB
                rows.append([index, float(busy), used, total, float(heat)])
        return rows


def _nvml() -> Any:
    """NVIDIA's management library, if its Python module and a driver are there."""
    try:
        import pynvml  # pyright: ignore[reportMissingImports] - an optional package, nvidia-ml-py
    except ImportError:
        return None
    nvml = cast("Any", pynvml)
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    return nvml


def _celsius() -> float:
    """The hottest of the machine's sensors; 0 where there is none."""
    with suppress(OSError, AttributeError):  # psutil has no sensors on some systems
        return max(
            (each.current for group in psutil.sensors_temperatures().values() for each in group),
            default=0.0,
        )
    return 0.0


def _pressure() -> dict[str, float]:
    """Pressure stall information, where the kernel keeps it."""
    found: dict[str, float] = {}
    for name in ("cpu", "memory", "io"):
        with suppress(OSError, ValueError, IndexError):
            first = Path("/proc/pressure", name).read_text().split()[1]
            found[name] = float(first.removeprefix("avg10="))
    return found
