import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from stargen_filters import info

from stargen.calculators.conformance import check, sample_crystals
from stargen.calculators.contract import CalculatorInfo
from stargen.errors import CampaignError
from stargen.model import Shape
from stargen.toml import Document
from stargen.typed import Reader

INFOS = [info.composition, info.charge, info.geometry, info.symmetry, info.unique, info.novel]


@pytest.mark.parametrize("announced", INFOS, ids=lambda i: i.name)
def test_is_announced_under_its_name(announced):
    (entry,) = entry_points(group="stargen.calculators", name=announced.name)
    assert entry.load() is announced
    assert isinstance(announced, CalculatorInfo)


@pytest.mark.parametrize("announced", INFOS[:-1], ids=lambda i: i.name)
def test_keeps_the_contract(announced):
    assert check(announced) == []


def test_novel_keeps_the_contract(tmp_path):
    lines = [
        json.dumps({"material_id": name, "structure": crystal.to_pymatgen().as_dict()})
        for name, crystal in sample_crystals().items()
        if name != "perovskite"
    ]
    (tmp_path / "known.jsonl").write_text("\n".join(lines))
    params = info.novel.params(reference="known.jsonl")
    assert check(info.novel, params=params, folder=tmp_path) == []


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


@pytest.mark.parametrize(
    ("announced", "toml", "problem"),
    [
        (info.composition, "max_elements = 0", "at least 1"),
        (info.geometry, "min_distance_ang = -0.5", "at least 0"),
        (info.symmetry, "symprec_ang = 0.0", "more than 0"),
        (info.unique, "threshold = -0.1", "at least 0"),
        (info.unique, "neighbours = 0", "at least 1"),
        (info.unique, "stol = 0", "more than 0"),
        (info.novel, "threshold = 0.2", "`reference` is missing"),
    ],
)
def test_a_campaign_file_with_such_parameters_is_refused(announced, toml, problem):
    document = Document(toml, "campaign.toml", CampaignError)
    reader = Reader(document)
    assert reader.table(announced.params, document.values) is None
    assert problem in str(reader.problems[0])
