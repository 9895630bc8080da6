"""Monitor: what the node and its tasks use, sampled once a second in a thread."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psutil

from stargen.executing.staging import bytes_in
from stargen.model import AttemptId
from stargen.processes import out_of_memory_kills, processes

_GIB = 2**30
PAGE_GIB = os.sysconf("SC_PAGESIZE") / _GIB


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the node.

    `memory`: GiB by the leader of a session or of a process group; `scratch`: GiB of files by
    attempt; `gpus`: rows of [index, busy percent, used GiB, total GiB, degrees Celsius]; `cores`:
    percent of each; `celsius`: the hottest sensor of the machine, 0 if there is none.
    """

    cpu_percent: float = 0.0
    memory_used_gib: float = 0.0
    memory_total_gib: float = 0.0
    disk_free_gib: float = 0.0
    io_pressure: float = 0.0
    out_of_memory_kills: int = 0
    gpus: list[list[float]] = field(default_factory=list[list[float]])
    memory: Mapping[int, float] = field(default_factory=dict[int, float])
    scratch: Mapping[AttemptId, float] = field(default_factory=dict[AttemptId, float])
    cores: list[float] = field(default_factory=list[float])
    celsius: float = 0.0


class Monitor:
    """Takes samples; the CPU share is that since the sample before.

    Parameters
    ----------
    disk : a folder on the disk whose free space is reported
    """

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._nvml = _nvml()
        psutil.cpu_percent(percpu=True)

    def sample(self, folders: Mapping[AttemptId, Path]) -> Sample:
        """Look at everything; `folders` are those whose size is to be known. Takes milliseconds."""
        memory = psutil.virtual_memory()
        free = 0.0
        with suppress(OSError):
            free = psutil.disk_usage(str(self._disk)).free / _GIB
        used: dict[int, float] = {}
        for process in processes():
            for leader in {process.session, process.group}:
                used[leader] = used.get(leader, 0.0) + process.rss_pages * PAGE_GIB
        cores = psutil.cpu_percent(percpu=True)
        return Sample(
            sum(cores) / len(cores),
            (memory.total - memory.available) / _GIB,
            memory.total / _GIB,
            free,
            _io_pressure(),
            out_of_memory_kills(),
            self._gpus(),
            used,
            {attempt: bytes_in(folder) / _GIB for attempt, folder in folders.items()},
            cores,
            _celsius(),
        )

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


def _io_pressure() -> float:
    """Percent of the last ten seconds in which something waited for a disk; 0 if unknown."""
    with suppress(OSError, ValueError, IndexError):
        first = Path("/proc/pressure/io").read_text().split()[1]
        return float(first.removeprefix("avg10="))
    return 0.0
