import subprocess
import sys

import pytest
from stargen_gpaw import environment
from stargen_gpaw import info as infos
from stargen_gpaw.elements import cutoff_for, has_potential
from stargen_gpaw.info import RelaxParams

from stargen.calculators.conformance import check
from stargen.model import Chemistry

STEPS = [infos.relax, infos.static, infos.dos, infos.bands]


@pytest.mark.parametrize("info", STEPS, ids=lambda info: info.name)
def test_it_keeps_the_contract(info, silicon):
    params = info.params(argv=("no-such-python",))  # inputs alone: a run takes too long here
    assert check(info, [silicon], params) == []


@pytest.mark.parametrize(
    ("symbols", "cutoff"), [("Si", 350), ("Ge Si", 350), ("Ag", 500), ("Mg O", 800), ("Si C", 800)]
)
def test_the_hardest_element_decides_the_cutoff(symbols, cutoff):
    assert cutoff_for(symbols.split()) == cutoff


def test_elements_without_a_data_set_are_named():
    assert has_potential("Rn")
    assert not has_potential("Fr")
    (problem,) = infos.relax.check_chemistry(RelaxParams(), Chemistry(allow=("O", "Tc", "U")))
    assert "Tc, U" in problem
    assert not list(infos.relax.check_chemistry(RelaxParams(), Chemistry(allow=("O", "Mg"))))


def test_no_gpaw_is_one_clear_problem(tmp_path, monkeypatch):
    monkeypatch.setenv(environment.VARIABLE, "/no/such/python")
    (problem,) = infos.relax.check(RelaxParams(), tmp_path)
    assert "make gpaw" in problem
    assert list(infos.relax.check(RelaxParams(argv=("gpaw-python",)), tmp_path)) == []
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    monkeypatch.setenv(environment.VARIABLE, str(bare / "bin" / "python"))
    (problem,) = infos.relax.check(RelaxParams(), tmp_path)
    assert "is not installed" in problem


def test_what_the_campaign_may_not_say(tmp_path):
    (problem,) = infos.relax.check(RelaxParams(argv=("mpirun", "-n", "{ranks}")), tmp_path)
    assert "{ranks} is unknown" in problem


def test_gpaw_never_gets_into_this_process():
    code = (
        "import sys, stargen_gpaw.info, stargen_gpaw.steps, stargen_gpaw.runner;"
        "sys.exit('gpaw' in sys.modules or 'ase' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
