import gzip
import shutil
import warnings

import numpy as np
import pytest
from pymatgen.io.vasp.outputs import Oszicar, Outcar, Vasprun
from stargen_vasp import results, xmlsteps
from stargen_vasp.editing import Inputs, reached
from stargen_vasp.outputs import Outputs
from stargen_vasp.repairs import table
from stargen_vasp.run import Run

from stargen.errors import BadResult

WHOLE = {
    "custodian/fermi_smearing/vasprun.xml.gz": "vasp-r2scan",
    "custodian/io/vasprun.xml.gz": "vasp-pbe",
    "custodian/max_force/vasprun.xml.gz": "vasp-pbe",
    "custodian/unconverged/vasprun.xml.electronic.gz": "vasp-pbe+u",
    "pymatgen/fe_monomer/vasprun.xml.gz": "vasp-pbe",
    "pymatgen/outputs/vasprun.Al.xml.gz": "vasp-r2scan",
    "pymatgen/outputs/vasprun.LiF.xml.gz": "vasp-r2scan",
    "pymatgen/outputs/vasprun.bad_fermi.xml.gz": "vasp-pbe",
    "pymatgen/outputs/vasprun.dfpt.unconverged.xml.gz": "vasp-pbe",
    "pymatgen/outputs/vasprun.ediffg_set_to_0.xml.gz": "vasp-r2scan",
    "pymatgen/outputs/vasprun.etest1.xml.gz": "vasp-revpbe",
    "pymatgen/outputs/vasprun.unconverged.xml.gz": "vasp-pbe+u",
    "pymatgen/relaxation/vasprun.xml.gz": "vasp-pbe",
    "pymatgen/static_silicon/vasprun.xml.gz": "vasp-pbe",
}
"""Finished runs, and the scheme of their energies."""

BROKEN = {
    "custodian/bad_vasprun/vasprun.xml.gz": 5,
    "custodian/large_cell_real_optlay/vasprun.xml": 0,
    "pymatgen/outputs/vasprun.bad.xml.gz": 1,
}
"""Files that break off, and how many ionic steps they finish."""

SILICON = "pymatgen/static_silicon/vasprun.xml.gz"

NO_END = ("large_cell_real_optlay", "potim", "electrostaticerror")
"""OUTCARs of runs that did not come to their end."""

_QUICK_BYTES = 200_000

NOT_OF_A_RUN = ("LICENSE", "XDATCAR_5", "_entries.json.gz")


def of_kind(shared_data, kind):
    """The samples whose names say what they are."""
    folder = shared_data / "vasp_samples"
    return sorted(path for path in folder.rglob("*") if kind in path.name)


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
    assert found["energy_scheme"] == f"{WHOLE[name]}/uncorrected"
    assert results.engine_of(xml).startswith("vasp")
    electronic, gap = results.electronic(xml)
    assert electronic["fermi_energy"] == pytest.approx(theirs.efermi)
    _, filled = results.levels(xml)
    if not ((filled > 0.05) & (filled < 0.95)).any():  # of a metal pymatgen may say anything
        assert gap.gap_ev == pytest.approx(theirs.eigenvalue_band_properties[0], abs=1e-6)
        assert gap.is_direct == theirs.eigenvalue_band_properties[3]


def test_the_gap_of_silicon(shared_data, tmp_path):
    unpacked(shared_data, SILICON, tmp_path)
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
    with pytest.raises(BadResult, match=f"after {finished} finished ionic steps"):
        results.read_xml(tmp_path)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_recorded_run_has_a_named_reason(shared_data, tmp_path, name):
    unpacked(shared_data, name, tmp_path)
    assert not Outputs(tmp_path).xml_is_whole
    assert len(xmlsteps.energies(tmp_path)) == BROKEN[name]
    with pytest.raises(BadResult, match=f"breaks off after {BROKEN[name]} finished ionic steps"):
        results.read_xml(tmp_path)


def test_a_run_without_a_file_has_a_named_reason(tmp_path):
    with pytest.raises(BadResult, match=r"left no vasprun\.xml"):
        results.read_xml(tmp_path)


def test_every_outcar_is_judged_as_pymatgen_does(shared_data, tmp_path):
    paths = of_kind(shared_data, "OUTCAR")
    assert len(paths) >= 15
    for path in paths:
        (tmp_path / "OUTCAR").write_bytes(gzip.decompress(path.read_bytes()))
        outputs = Outputs(tmp_path)
        ended = not any(name in str(path) for name in NO_END)
        assert outputs.has_ended is ended, path
        if path.stat().st_size < _QUICK_BYTES:
            theirs = Outcar(str(tmp_path / "OUTCAR"))
            assert ("Total CPU time used (sec)" in theirs.run_stats) is ended, path
            assert outputs.was_stopped is theirs.is_stopped is False, path
        if not ended:
            (tmp_path / "INCAR").write_text("NSW = 99\n")
            finding = table.seen_after_the_end(outputs, Run(step="vasp.relax"))
            assert finding is not None
            assert finding.fault == "died"
        else:
            assert outputs.slowest_step_s > 0, path


def test_every_oszicar_has_the_steps_that_pymatgen_finds(shared_data, tmp_path):
    paths = of_kind(shared_data, "OSZICAR")
    assert len(paths) >= 6
    for path in paths:
        data = path.read_bytes()
        (tmp_path / "OSZICAR").write_bytes(gzip.decompress(data) if path.suffix == ".gz" else data)
        theirs = Oszicar(str(tmp_path / "OSZICAR")).ionic_steps
        mine = Outputs(tmp_path).ionic_steps
        assert [step.energy_ev for step in mine] == [step["E0"] for step in theirs], path


def test_every_input_of_the_samples_can_be_read_and_gone_on_with(shared_data, tmp_path):
    for path in of_kind(shared_data, "POSCAR"):
        for name in ("POSCAR", "INCAR", "KPOINTS"):
            source = path.with_name(name)
            target = tmp_path / name
            target.write_text(source.read_text() if source.exists() else "x\n0\nGamma\n1 1 1\n")
        inputs = Inputs(tmp_path)
        assert Outputs(tmp_path).n_atoms == inputs.n_atoms, path
        assert inputs.kpoints is not None
    contcars = of_kind(shared_data, "CONTCAR")
    assert len(contcars) >= 5
    for path in contcars:
        shutil.copy(path, tmp_path / "CONTCAR")
        found = reached(tmp_path)
        assert found is not None
        assert found[1] == "CONTCAR", path


def test_no_sample_is_left_out(shared_data):
    """What VASP printed is looked through by test_repairs.py."""
    folder = shared_data / "vasp_samples"
    read = {folder / name for name in (*WHOLE, *BROKEN)} | {
        path
        for kind in ("OUTCAR", "OSZICAR", "POSCAR", "CONTCAR", "INCAR", "KPOINTS", *NOT_OF_A_RUN)
        for path in of_kind(shared_data, kind)
    }
    others = {path for path in folder.rglob("*") if path.is_file()} - read
    assert all(path.name.startswith(("vasp.", "std_err")) for path in others), others


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
