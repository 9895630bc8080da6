"""`import stargen` is cheap, proved in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "textual",
    "pymatgen",
    "ase",
    "smact",
    "e3nn",
    "chgnet",
    "pandas",
    "sqlalchemy",
    "scipy",
    "numba",
)

SCRIPT = """
import importlib, sys
importlib.import_module({module!r})
print(*sorted({heavy!r} & set(sys.modules)))
"""


def loaded_of(names: tuple[str, ...], module: str) -> list[str]:
    """Which of the names importing the module loads."""
    script = SCRIPT.format(module=module, heavy=set(names))
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return loaded.stdout.split()


@pytest.mark.parametrize(
    "module",
    ["stargen", "stargen.cli.main", "stargen.calculators.registry", "stargen.executing.agent"],
)
def test_no_heavy_library_is_loaded(module: str):
    assert loaded_of(HEAVY, module) == []


def test_hundreds_of_nodes_load_little_to_start_their_agents():
    heavy = ("asyncio", "psutil", "tomli", "msgpack", "numpy")
    assert loaded_of(heavy, "stargen.launchers.onnode") == []


def test_the_public_face_is_complete():
    import stargen

    for name in stargen.__all__:
        assert getattr(stargen, name) is not None
