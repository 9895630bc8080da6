import subprocess
import sys

import pytest
from pymatgen.core import SETTINGS
from stargen_vasp import info as infos
from stargen_vasp import potcars
from stargen_vasp.info import RelaxParams, cores_for

from stargen.calculators.conformance import check
from stargen.crystal import Envelope
from stargen.model import Chemistry

STEPS = [infos.relax, infos.static, infos.dos, infos.bands]


@pytest.mark.parametrize("info", STEPS, ids=lambda info: info.name)
def test_it_keeps_the_contract(info, copper):
    assert check(info, [copper]) == []


@pytest.mark.parametrize(
    ("atoms", "cores"), [(1, 1), (2, 2), (3, 4), (5, 8), (20, 24), (60, 72), (144, 144), (500, 144)]
)
def test_cores_grow_with_the_atoms_in_buckets(atoms, cores):
    assert cores_for(RelaxParams(), atoms) == cores
    envelope = Envelope("a/0", b"", "X", atoms, {})
    (asked,) = infos.relax.resources(RelaxParams(), envelope)
    assert asked.cores == cores


def test_the_rule_is_the_campaigns():
    params = RelaxParams(cores_per_atom=0.5, max_cores=20)
    assert [cores_for(params, n) for n in (1, 4, 30, 100)] == [1, 2, 16, 20]


def problems(params=None, chemistry=None, tmp_path=None):
    params = params or RelaxParams()
    if chemistry is None:
        return list(infos.relax.check(params, tmp_path))
    return list(infos.relax.check_chemistry(params, chemistry))


def test_no_library_is_one_clear_problem(monkeypatch, tmp_path):
    monkeypatch.delitem(SETTINGS, "PMG_VASP_PSP_DIR")
    (problem,) = problems()
    assert "PMG_VASP_PSP_DIR is not set" in problem
    assert "pmg config" in problem
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path / "gone"))
    assert "is no folder" in problems()[0]
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path))
    assert "absent or empty" in problems()[0]


def test_elements_of_the_campaign_need_potcars():
    assert problems(chemistry=Chemistry(require=("O",), allow=("Mg",))) == []
    (problem,) = problems(chemistry=Chemistry(allow=("Mg", "Xe", "Kr"), exclude=("Kr",)))
    assert "1 elements (Xe: no POTCAR.Xe)" in problem
    own = RelaxParams(potcars={"Xe": "O"})
    assert problems(own, Chemistry(allow=("Xe",))) == []


def test_a_hollow_potcar_is_noticed(library):
    path = library / "POT_GGA_PAW_PBE_54" / "Na_pv" / "POTCAR"
    text = path.read_text()
    try:
        path.write_text("")
        (problem,) = problems(chemistry=Chemistry(require=("Na",)))
        assert "is hollow: 0 characters" in problem
        path.write_text(text[: len(text) // 2])
        (problem,) = problems(chemistry=Chemistry(require=("Na",)))
        assert "is hollow" in problem
    finally:
        path.write_text(text)


def test_what_the_campaign_may_not_say():
    assert "{ranks} is unknown" in problems(RelaxParams(argv=("mpirun", "{ranks}")))[0]
    assert "ICHARG" in problems(RelaxParams(incar={"icharg": 11}))[0]
    assert "kspacing" in problems(RelaxParams(incar={"KSPACING": 0.3}))[0]
    assert "did you mean ENCUT?" in problems(RelaxParams(incar={"ENCUTT": 500}))[0]
    assert problems(RelaxParams(incar={"IOPT": 7, "LDAUU": "0 4"})) == []
    assert "may be kept" in problems(RelaxParams(keep=("../x",)))[0]
    assert "may be kept" in problems(RelaxParams(keep=("POTCAR",)))[0]
    assert "unknown to pymatgen" in problems(RelaxParams(potcar_functional="PBE_99"))[0]


def test_both_layouts_of_a_library_are_found(tmp_path, monkeypatch):
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path))
    folder = tmp_path / "POT_GGA_PAW_PBE_64"
    folder.mkdir()
    (folder / "POTCAR.Si").write_text("x" * 300)
    assert potcars.find(tmp_path, "Si", "PBE_64") == folder / "POTCAR.Si"


def test_the_announcement_loads_no_pymatgen():
    code = "import sys, stargen_vasp.info; sys.exit('pymatgen.core' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
