"""How numeric libraries are held to the cores that a task was granted."""

from __future__ import annotations

_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def thread_limits(cores: int) -> dict[str, str]:
    """Environment variables for that many threads, at least one."""
    return dict.fromkeys(_VARIABLES, str(max(1, cores)))
