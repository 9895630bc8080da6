import gzip
import shutil
import warnings

import numpy as np
import pytest
from pymatgen.io.vasp.outputs import Vasprun
from stargen_vasp import results, xmlsteps
from stargen_vasp.outputs import Outputs

from stargen.errors import BadResult

WHOLE = [
    "pymatgen/static_silicon/vasprun.xml.gz",
    "pymatgen/relaxation/vasprun.xml.gz",
    "pymatgen/fe_monomer/vasprun.xml.gz",
    "pymatgen/outputs/vasprun.Al.xml.gz",
    "pymatgen/outputs/vasprun.LiF.xml.gz",
    "pymatgen/outputs/vasprun.etest1.xml.gz",
    "custodian/io/vasprun.xml.gz",
    "custodian/max_force/vasprun.xml.gz",
    "custodian/fermi_smearing/vasprun.xml.gz",
]


def unpacked(shared_data, name, folder):
    source = shared_data / "vasp_samples" / name
    target = folder / "vasprun.xml"
    target.write_bytes(
        gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
    )
    return target


@pytest.mark.parametrize("name", WHOLE)
def test_finished_runs_equal_what_pymatgen_says(shared_data, tmp_path, name):
    path = unpacked(shared_data, name, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = Vasprun(str(path), parse_potcar_file=False)
    mine = xmlsteps.read(path)
    assert mine.whole
    assert len(mine.steps) == len(theirs.ionic_steps)
    for step, other in zip(mine.steps, theirs.ionic_steps, strict=True):
        assert step.energy_ev == pytest.approx(other["electronic_steps"][-1]["e_0_energy"])
        assert step.forces is not None
        np.testing.assert_allclose(step.forces, other["forces"])
    last = xmlsteps.last_structure(path)
    assert last.species == theirs.final_structure.species
    np.testing.assert_allclose(last.frac_coords, theirs.final_structure.frac_coords, atol=1e-8)

    xml = results.read_xml(tmp_path)
    found = results.energies(xml, Outputs(tmp_path))
    n_atoms = len(theirs.final_structure)
    assert found["energy_per_atom"] == pytest.approx(float(theirs.final_energy) / n_atoms)
    if "stress" in theirs.ionic_steps[-1]:
        kbar = np.trace(theirs.ionic_steps[-1]["stress"]) / 3
        assert found["pressure_gpa"] == pytest.approx(kbar / 10)
    assert found["energy_scheme"].startswith("vasp-")
    assert results.engine_of(xml).startswith("vasp")
    electronic, gap = results.electronic(xml)
    assert electronic["fermi_energy"] == pytest.approx(theirs.efermi)
    _, filled = results.levels(xml)
    if not ((filled > 0.05) & (filled < 0.95)).any():  # of a metal pymatgen may say anything
        assert gap.gap_ev == pytest.approx(theirs.eigenvalue_band_properties[0], abs=1e-6)
        assert gap.is_direct == theirs.eigenvalue_band_properties[3]


def test_the_gap_of_silicon(shared_data, tmp_path):
    unpacked(shared_data, WHOLE[0], tmp_path)
    _, gap = results.electronic(results.read_xml(tmp_path))
    # on the mesh of that run, which misses the conduction minimum by half an eV
    assert gap.gap_ev == pytest.approx(1.274, abs=1e-3)
    assert gap.direct_ev == pytest.approx(2.706, abs=1e-3)
    assert not gap.is_direct


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_file_cut_anywhere_keeps_its_finished_steps(shared_data, tmp_path, share):
    path = unpacked(shared_data, "pymatgen/outputs/vasprun.unconverged.xml.gz", tmp_path)
    whole = xmlsteps.read(path)
    text = path.read_bytes()
    path.write_bytes(text[: int(share * len(text))])
    cut = xmlsteps.read(path)
    finished = text[: int(share * len(text))].count(b"</calculation>")
    assert not cut.whole
    assert len(cut.steps) == finished
    for one, other in zip(cut.steps, whole.steps, strict=False):
        assert one.energy_ev == other.energy_ev
        np.testing.assert_array_equal(one.forces, other.forces)
    with pytest.raises(BadResult, match=r"vasprun\.xml cannot be read"):
        results.read_xml(tmp_path)


def test_a_broken_recorded_run_has_a_named_reason(shared_data, tmp_path):
    unpacked(shared_data, "pymatgen/outputs/vasprun.bad.xml.gz", tmp_path)
    assert not Outputs(tmp_path).xml_is_whole
    with pytest.raises(BadResult):
        results.read_xml(tmp_path)


def test_what_a_run_says_of_its_end(shared_data, tmp_path):
    for name in ("relaxation", "static_silicon"):
        source = shared_data / "vasp_samples" / "pymatgen" / name / "OUTCAR.gz"
        (tmp_path / "OUTCAR").write_bytes(gzip.decompress(source.read_bytes()))
        outputs = Outputs(tmp_path)
        assert outputs.has_ended
        assert outputs.electrons_converged
        assert outputs.slowest_step_s > 0
    shutil.copy(shared_data / "vasp_samples/custodian/nonconv/OSZICAR", tmp_path)
    steps = Outputs(tmp_path).ionic_steps
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
