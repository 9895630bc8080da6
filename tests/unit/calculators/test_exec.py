import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from support.crystals import candidate, rocksalt

from stargen.calculators.exec import ExecParams, Run, run
from stargen.crystal import Crystal, Drop
from stargen.errors import BadResult
from stargen.model import Resources


def context(**params):
    return SimpleNamespace(
        params=ExecParams(**params), resources=Resources(cores=3), job="job", hosts=("a", "b")
    )


def test_braces_are_filled_in(tmp_path):
    argv = ("{python}", "{id}", "{formula}", "{cores}", "{job}", "{folder}/x", "{input}", "{{}}")
    command = Run().prepare(candidate("make/7"), tmp_path, context(argv=argv, input="cif"))
    assert command.argv == (
        sys.executable,
        "make/7",
        "ClNa",
        "3",
        "job",
        f"{tmp_path}/x",
        f"{tmp_path}/input.cif",
        "{}",
    )


@pytest.mark.parametrize(
    ("params", "needed"),
    [
        ({"argv": ("true",)}, False),
        ({"argv": ("echo", "{id}")}, False),
        ({"argv": ("true",), "input": "json"}, True),
        ({"argv": ("true",), "output": "o.json"}, True),
        ({"argv": ("ls", "{folder}")}, True),
        ({"argv": ("ls",), "env": {"HOME": "{folder}"}}, True),
    ],
)
def test_a_folder_is_asked_for_only_if_something_is_put_there(params, needed):
    assert Run().needs_folder(context(**params)) is needed


@pytest.mark.parametrize("form", ["cif", "poscar"])
def test_written_structures_are_read_alike_by_pymatgen(tmp_path, form):
    core = pytest.importorskip("pymatgen.core")
    lattice = np.array([[4.1, 0.2, 0.0], [0.3, 5.2, 0.1], [1.1, 0.7, 6.3]])
    crystal = Crystal.of(lattice, [[0, 0, 0], [0.25, 0.5, 0.75], [0.1, 0.2, 0.9]], [3, 8, 3])
    Run().prepare(candidate("a/0", crystal), tmp_path, context(argv=("true",), input=form))
    (path,) = tmp_path.iterdir()
    read = core.Structure.from_file(path)
    assert sorted(site.specie.Z for site in read) == [3, 3, 8]
    assert np.allclose(read.lattice.abc, np.linalg.norm(lattice, axis=1))
    given = np.sort(crystal.to_pymatgen().distance_matrix, axis=None)
    assert np.allclose(np.sort(read.distance_matrix, axis=None), given, atol=1e-6)


def test_json_holds_the_whole_candidate(tmp_path):
    given = candidate("a/0", energy_ev=-1.5)
    Run().prepare(given, tmp_path, context(argv=("true",), input="json"))
    table = json.loads((tmp_path / "input.json").read_text())
    assert table["properties"] == {"energy_ev": -1.5}
    assert Crystal.of(table["lattice"], table["frac_coords"], table["numbers"]) == given.crystal
    assert table["symbols"] == ["Na", "Cl"]


def collect(folder, text):
    (folder / "o.json").write_text(text)
    return Run().collect(candidate(), folder, context(argv=("true",), output="o.json"))


def test_properties_and_crystal_are_read_back(tmp_path):
    new = rocksalt(a_ang=6.0)
    crystal = {
        "lattice": new.lattice.tolist(),
        "frac_coords": new.frac_coords.tolist(),
        "numbers": new.numbers.tolist(),
    }
    text = json.dumps({"properties": {"energy_ev": -2.5, "ok": True}, "crystal": crystal})
    read = collect(tmp_path, text)
    assert read.properties == {"energy_ev": -2.5, "ok": True}
    assert read.crystal == new


def test_a_drop_is_read_back(tmp_path):
    verdict = collect(tmp_path, '{"drop": "does not converge"}')
    assert isinstance(verdict, Drop)
    assert verdict.reason == "does not converge"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not JSON"),
        ("[1]", "no JSON object"),
        ('{"properties": 3}', "not a JSON object"),
        ('{"crystal": {"lattice": [1]}}', "crystal"),
    ],
)
def test_bad_output_is_a_bad_result(tmp_path, text, problem):
    with pytest.raises(BadResult, match=problem):
        collect(tmp_path, text)


def test_missing_output_is_a_bad_result(tmp_path):
    with pytest.raises(BadResult, match="no output"):
        Run().collect(candidate(), tmp_path, context(argv=("true",), output="o.json"))


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"argv": ()}, "empty"),
        ({"argv": ("x", "{inptu}")}, "{inptu} is unknown"),
        ({"argv": ("x", "{")}, "for braces"),
        ({"argv": ("x",), "output": "../o.json"}, "file name"),
        ({"argv": ("x",), "timeout_s": 0.0}, "positive"),
    ],
)
def test_mistakes_are_found_before_anything_starts(tmp_path, params, problem):
    assert any(problem in text for text in run.check(ExecParams(**params), tmp_path))


def test_the_time_out_becomes_a_walltime():
    assert run.resources(ExecParams(("x",), timeout_s=7.0), None) == (Resources(walltime_s=7.0),)
    assert list(run.check(ExecParams(("x", "{id}", "{{}}")), None)) == []
