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


@pytest.mark.parametrize(
    "module",
    ["stargen", "stargen.cli.main", "stargen.calculators.registry", "stargen.executing.agent"],
)
def test_no_heavy_library_is_loaded(module: str):
    script = SCRIPT.format(module=module, heavy=set(HEAVY))
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert loaded.stdout.split() == []


def test_the_public_face_is_complete():
    import stargen

    for name in stargen.__all__:
        assert getattr(stargen, name) is not None
