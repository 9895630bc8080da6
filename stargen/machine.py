"""What this machine has: cores, memory, GPUs and disk that this process may use."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from stargen.devices import gpus_here
from stargen.model import Resources

ENDS_AT = "STARGEN_ENDS_AT"
"""Environment variable of what runs in an allocation of ours: UNIX time at which that ends."""

_GIB = 2**30


def this_machine(scratch: Path | None = None, environ: dict[str, str] | None = None) -> Resources:
    """The resources that a process here may use.

    Parameters
    ----------
    scratch : folder on the disk whose free space counts; the one for temporary files by default
    environ : environment to look at for hidden GPUs; the process's own by default
    """
    env = environ if environ is not None else dict(os.environ)
    free = shutil.disk_usage(scratch or tempfile.gettempdir()).free
    return Resources(
        cores=len(os.sched_getaffinity(0)),
        memory_gib=_memory_gib(),
        gpus=float(len(gpus_here(env))),
        scratch_gib=float(free // _GIB),
    )


def _memory_gib() -> float:
    """Memory of the machine, or of the control group if that is less; to a tenth, rounded down."""
    total = psutil.virtual_memory().total
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = Path("/sys/fs/cgroup", name)
        text = limit.read_text().strip() if limit.is_file() else "max"
        if text.isdigit():
            total = min(total, int(text))
    return total * 10 // _GIB / 10


def end_of_allocation(environ: Mapping[str, str]) -> float | None:
    """When the allocation ends that this process runs in, UNIX time; None if nobody says."""
    for name in (ENDS_AT, "SLURM_JOB_END_TIME"):
        with suppress(KeyError, ValueError):
            return float(environ[name])
    return None
