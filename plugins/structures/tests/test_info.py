import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from stargen_structures import info

from stargen.calculators.conformance import check, sample_crystals
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


def test_read_keeps_the_contract(tmp_path):
    for name, crystal in sample_crystals().items():
        (tmp_path / f"{name}.cif").write_text(crystal.to_pymatgen().to(fmt="cif"))
    (tmp_path / "broken.cif").write_text("data_none")
    for columns in ((), ("absent",)):
        params = info.read.params(path=".", columns=columns)
        assert check(info.read, params=params, folder=tmp_path) == []


def test_substitute_keeps_the_contract():
    assert check(info.substitute, params=info.substitute.params(count=20)) == []


@pytest.mark.parametrize("form", ["cif", "poscar", "extxyz", "json"])
def test_write_keeps_the_contract(tmp_path, form):
    params = info.write.params(folder="out", format=form)
    assert check(info.write, params=params, folder=tmp_path) == []


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
