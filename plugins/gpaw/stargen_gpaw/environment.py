"""Where GPAW is: in an environment of its own, never in this process."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

VARIABLE = "STARGEN_GPAW_PYTHON"
FOLDER = "gpaw"
"""`make gpaw` puts its environment there, inside that of Star-gen."""

WHAT_TO_DO = (
    f"run `make gpaw` in a checkout, or name a Python that has it in {VARIABLE} or as `argv`"
)


def python() -> str:
    """The Python that has GPAW: the one named in the environment, `make gpaw`'s, or this one."""
    named = os.environ.get(VARIABLE)
    if named:
        return named
    own = Path(sys.prefix, FOLDER, "bin", "python")
    return str(own) if own.exists() else sys.executable


def problem() -> str | None:
    """Why GPAW cannot be started; None if it can."""
    return _problem_of(python())


# Found, not imported: an import takes seconds.
_IS_THERE = """
import sys
from importlib.util import find_spec
sys.exit(not (find_spec("gpaw") and find_spec("_gpaw")))
"""


@lru_cache
def _problem_of(interpreter: str) -> str | None:
    try:
        done = subprocess.run(
            [interpreter, "-I", "-c", _IS_THERE], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"GPAW's Python {interpreter} does not start ({error}): {WHAT_TO_DO}"
    if done.returncode:
        return f"GPAW is not installed for {interpreter}: {WHAT_TO_DO}"
    return None
