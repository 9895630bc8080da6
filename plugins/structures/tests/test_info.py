import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from stargen_structures import info

from stargen.calculators.contract import CalculatorInfo
from stargen.model import Shape


@pytest.mark.parametrize(
    ("announced", "shape"),
    [(info.read, Shape.SOURCE), (info.substitute, Shape.SOURCE), (info.write, Shape.MAP)],
    ids=lambda v: getattr(v, "name", ""),
)
def test_is_announced_under_its_name(announced, shape):
    (entry,) = entry_points(group="stargen.calculators", name=announced.name)
    assert entry.load() is announced
    assert isinstance(announced, CalculatorInfo)
    assert announced.shape is shape


def test_announcing_and_checking_cost_no_heavy_import(tmp_path):
    code = (
        "import sys; from pathlib import Path; from stargen_structures.info import substitute as s;"
        "assert not list(s.check(s.params(count=1), Path()));"
        "print(sorted({'pandas', 'pymatgen.core', 'ase', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sources_know_how_long_they_are():
    assert info.read.total is None
    assert info.substitute.total(info.substitute.params(count=12)) == 12
