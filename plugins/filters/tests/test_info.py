import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from stargen_filters import info

from stargen.calculators.contract import CalculatorInfo
from stargen.model import Shape

INFOS = [info.composition, info.charge, info.geometry, info.symmetry, info.unique, info.novel]


@pytest.mark.parametrize("announced", INFOS, ids=lambda i: i.name)
def test_is_announced_under_its_name(announced):
    (entry,) = entry_points(group="stargen.calculators", name=announced.name)
    assert entry.load() is announced
    assert isinstance(announced, CalculatorInfo)


def test_announcing_costs_no_heavy_import():
    heavy = "{'numba', 'pandas', 'pymatgen.core', 'smact', 'moyopy', 'ase', 'scipy'}"
    code = f"import sys, stargen_filters.info; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unique_and_novel_are_keyed_by_reduced_formula(candidate):
    rutile = candidate("a", Ti=2, O=4).envelope
    for announced, params in (
        (info.unique, info.unique.params()),
        (info.novel, info.novel.params(reference="known.csv")),
    ):
        assert announced.shape is Shape.KEYED
        assert announced.key(params)(rutile) == "O2Ti"


def test_composition_checks_its_limit(tmp_path):
    assert not list(info.composition.check(info.composition.params(), tmp_path))
    assert list(info.composition.check(info.composition.params(max_elements=0), tmp_path))
