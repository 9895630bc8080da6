import io
import tarfile

import numpy as np
import pytest
import zstandard
from pymatgen.core import SETTINGS
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar

from stargen import Candidate, Crystal, Resources
from stargen.calculators.registry import make
from stargen.errors import CalculationFailed, UserTaskError

COARSE = {"kspacing": 0.55}


def incar(host):
    return Incar.from_file(str(host.folder / "INCAR"))


def test_the_four_steps_follow_each_other_by_their_files(host, copper):
    relaxed = host.run("relax", copper, **COARSE)
    found = relaxed.properties
    assert found["converged"] is True
    assert found["max_force"] < 0.02
    note = relaxed.data["vasp.relax"]
    forces = note["ionic_max_forces_ev_per_ang"]
    assert len(forces) == len(note["ionic_energies_ev"]) == found["relax_steps"] > 1
    assert forces[-1] == found["max_force"]
    assert abs(found["pressure_gpa"]) < 1.0
    # EMT's own lattice constant of copper
    assert (4 * found["volume_per_atom"]) ** (1 / 3) == pytest.approx(3.59, abs=0.01)
    assert found["volume_ratio"] == pytest.approx(3.59**3 / 3.72**3, rel=0.01)
    assert found["engine"].startswith("stand-in")
    assert found["energy_scheme"] == "stand-in/stand-in"
    assert (host.folder / "WAVECAR").exists()

    static = host.run("static", relaxed, **COARSE)
    assert incar(host)["ISTART"] == 1
    assert incar(host)["ISMEAR"] == -5
    np.testing.assert_allclose(static.crystal.lattice, relaxed.crystal.lattice, atol=1e-8)
    assert static.properties["energy_per_atom"] == pytest.approx(found["energy_per_atom"], abs=1e-4)
    assert static.properties["band_gap"] == 0.0

    dos = host.run("dos", static, **COARSE)
    assert incar(host)["ICHARG"] == 11
    assert incar(host)["EMIN"] < dos.properties["fermi_energy"] < incar(host)["EMAX"]
    packed = np.load(io.BytesIO(dos.data["dos_npz"]))
    at_fermi = np.searchsorted(packed["energies_ev"], packed["fermi_ev"])
    # 11 electrons: the half-filled band counts in full below the overlap
    assert packed["integrated"][0, at_fermi] == pytest.approx(11, abs=1.5)
    assert packed["densities"].shape == (1, 1501)

    bands = host.run("bands", dos, **COARSE)
    assert incar(host)["ICHARG"] == 11
    packed = np.load(io.BytesIO(bands.data["bands_npz"]))
    assert packed["labels"][0] == "Γ"
    assert len(packed["distances"]) == packed["eigenvalues_ev"].shape[1]
    assert (np.diff(packed["distances"]) >= 0).all()
    assert set(bands.data) >= {"vasp.relax", "vasp.static", "vasp.dos", "vasp.bands"}
    note = bands.data["vasp.relax"]
    assert note["potcars"] == ["PAW_PBE Cu_pv standin"]
    assert note["converged"]["ions"][0]
    assert host.runs == 4


def test_bands_of_a_meta_gga_find_their_own_density(host, silicon):
    host.setenv("GAP", 1.2)
    params = {"preset": "paper-safe", **COARSE}
    static = host.run("static", silicon, **params)
    assert static.properties["band_gap"] >= 1.2
    bands = host.run("bands", static, line_density=12, **params)
    assert incar(host)["ICHARG"] == 1
    assert incar(host)["METAGGA"].upper() == "SCAN"
    weights = Kpoints.from_file(str(host.folder / "KPOINTS")).kpts_weights
    assert weights[0] > 0
    assert weights[-1] == 0
    assert bands.properties["gap_is_direct"] is False
    packed = np.load(io.BytesIO(bands.data["bands_npz"]))
    assert packed["kpoints"].shape[0] == weights.count(0)
    # the stand-in's own bands: the direct gap is 1 eV wider
    assert 1.2 <= bands.properties["band_gap"] < 2.2
    assert bands.properties["band_gap_direct"] == pytest.approx(2.2, abs=1e-3)


def test_any_cell_becomes_the_standard_primitive_one(host):
    cube = Crystal.of(
        np.eye(3) * 3.6, [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], [29] * 4
    )
    result = host.run("static", Candidate("make/3", cube), **COARSE)
    assert result.crystal.n_atoms == 1
    kept = host.run("static", Candidate("make/3", cube), standardize=False, **COARSE)
    assert kept.crystal.n_atoms == 4


def prepared(host, verb, candidate, **params):
    info, context = host.context(verb, **params)
    command = make(info).prepare(candidate, host.folder, context)
    return incar(host), command


def test_presets_say_what_the_paper_says(host, silicon):
    tags, _ = prepared(host, "relax", silicon, preset="paper")
    assert (tags["ENCUT"], tags["EDIFF"], tags["EDIFFG"]) == (500, 1e-4, -1e-3)
    assert tags["METAGGA"].upper() == "SCAN"
    assert Kpoints.from_file(str(host.folder / "KPOINTS")).kpts == [(8, 8, 8)]
    safe, _ = prepared(host, "static", silicon, preset="paper-safe")
    assert safe["EDIFF"] == 1e-6
    assert safe["LMIXTAU"] is True


def test_the_user_has_the_last_word(host, silicon):
    own = {"ISPIN": 2, "encut": 333, "KPAR": 1, "LDAUU": "0 4"}
    tags, command = prepared(
        host, "relax", silicon, incar=own, argv=("mpirun", "-n", "{cores}", "vasp_std")
    )
    assert tags["ENCUT"] == 333
    assert len(tags["MAGMOM"]) == 2
    assert command.argv == ("mpirun", "-n", "1", "vasp_std")
    assert command.env["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("cores", "kpar", "ncore"), [(1, 1, 1), (8, 8, 1), (24, 24, 1), (144, 36, 1)]
)
def test_parallelisation_follows_the_granted_cores(host, silicon, cores, kpar, ncore):
    host.resources = Resources(cores=cores)
    tags, _ = prepared(host, "static", silicon)
    assert cores % tags["KPAR"] == 0
    assert (tags["KPAR"], tags["NCORE"]) == (kpar, ncore)


def test_many_atoms_share_ranks(host):
    axis = np.arange(3) / 3
    grid = np.array([[x, y, z] for x in axis for y in axis for z in axis])
    grid = grid + 0.05 * np.sin(np.arange(81)).reshape(27, 3)
    crystal = Candidate("make/4", Crystal.of(np.eye(3) * 8.4, grid, [13] * 27))
    host.resources = Resources(cores=24)
    tags, _ = prepared(host, "relax", crystal)
    assert tags["KPAR"] * 7 <= 24
    assert tags["NCORE"] in (2, 3, 4)


def test_an_element_without_potcar_is_named(host):
    xenon = Candidate("make/5", Crystal.of(np.eye(3) * 6, [[0, 0, 0]], [54]))
    with pytest.raises(CalculationFailed, match=r"Xe: no POTCAR\.Xe"):
        host.run("static", xenon)


def test_a_relaxation_that_is_not_done_is_dropped_or_kept(host, copper):
    own = {"NSW": 2, "EDIFFG": -1e-6}
    drop = host.run("relax", copper, incar=own, continuations=1, **COARSE)
    assert drop.reason == "not converged"
    assert "EDIFFG" in drop.detail
    assert [change.fault for change in host.changes] == ["ions unconverged"]
    (host.folder / "stargen-run.json").unlink()
    kept = host.run("relax", copper, incar=own, continuations=0, unconverged="keep", **COARSE)
    assert kept.properties["converged"] is False
    assert kept.data["vasp.relax"]["converged"]["ions"] == (False, "forces are above EDIFFG")


def test_an_interrupted_relaxation_goes_on_in_another_place(host, copper, tmp_path_factory):
    whole = host.run("relax", copper, **COARSE)
    first, second = host.folder, tmp_path_factory.mktemp("again")
    host.folder = second
    tags, _ = prepared(host, "relax", copper, **COARSE)
    assert tags["ISTART"] == 0
    # the node went after two steps: vasprun.xml breaks off in the third, CONTCAR is empty
    told = (first / "vasprun.xml").read_text().split("</calculation>")
    (second / "vasprun.xml").write_text("</calculation>".join(told[:3]))
    (second / "CONTCAR").write_text("")
    (second / "WAVECAR").write_bytes(b"")
    again = host.run("relax", copper, **COARSE)
    made = whole.data["vasp.relax"]["ionic_energies_ev"]
    note = again.data["vasp.relax"]
    assert note["earlier_ionic_energies_ev"] == pytest.approx(made[:2])
    assert again.properties["relax_steps"] == 2 + len(note["ionic_energies_ev"])
    assert note["ionic_energies_ev"][0] == pytest.approx(made[1])
    assert again.properties["energy_per_atom"] == pytest.approx(
        whole.properties["energy_per_atom"], abs=1e-4
    )


def test_what_the_campaign_or_a_correction_chose_stays_in_later_attempts(host, silicon):
    host.resources = Resources(cores=8)
    tags, _ = prepared(host, "static", silicon, incar={"NCORE": 2})
    assert (tags["KPAR"], tags["NCORE"]) == (8, 2)
    (host.folder / "stderr.txt").write_text("slurmstepd: error: Detected 1 oom-kill event(s)")
    step = make(host.context("static")[0])
    step.correct(step.diagnose(host.folder, 1), host.folder)
    assert incar(host)["KPAR"] == 4
    host.resources = Resources(cores=4)
    tags, _ = prepared(host, "static", silicon, incar={"NCORE": 2})
    assert (tags["KPAR"], tags["NCORE"]) == (4, 2)


def test_a_kill_by_the_kernel_is_told_from_other_kills(host, silicon, monkeypatch):
    kills = [7]
    monkeypatch.setattr("stargen_vasp.run.out_of_memory_kills", lambda: kills[-1])
    prepared(host, "static", silicon)
    step = make(host.context("static")[0])
    assert "killed by SIGKILL without a word" in step.diagnose(host.folder, -9).message
    kills.append(8)
    assert step.diagnose(host.folder, -9).fault == "out of memory"
    assert step.diagnose(host.folder, 137).fault == "out of memory"
    assert step.diagnose(host.folder, 1).message == "VASP ended with exit code 1 without a word"


def test_a_run_that_may_be_stopped_keeps_its_orbitals(host, silicon):
    assert prepared(host, "dos", silicon)[0]["LWAVE"] is False
    (host.folder / "stargen-run.json").unlink()
    host.resources = Resources(cores=1, walltime_s=3600)
    assert prepared(host, "dos", silicon)[0]["LWAVE"] is True


def test_a_run_without_ionic_steps_is_stopped_by_its_electronic_ones(host, silicon):
    host.resources = Resources(cores=1, walltime_s=3600)
    prepared(host, "static", silicon)
    step = make(host.context("static")[0])
    path, loop = host.folder / "OUTCAR", "     LOOP:  cpu time {0}: real time {0}\n"
    path.write_text(loop.format("100.0"))
    step.watch(host.folder)
    assert not (host.folder / "STOPCAR").exists()
    path.write_text(loop.format("1300.0"))
    step.watch(host.folder)
    assert "LABORT" in (host.folder / "STOPCAR").read_text()


def test_files_that_are_asked_for_are_kept_packed(host, silicon):
    result = host.run("static", silicon, keep=("OUTCAR", "vasprun.xml", "LOCPOT"), **COARSE)
    packed = zstandard.decompress(result.data["vasp.static"]["files"])
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == ["OUTCAR", "vasprun.xml"]
        kept = tar.extractfile("vasprun.xml").read()
    assert kept == (host.folder / "vasprun.xml").read_bytes()


def test_a_node_without_potcars_stops_the_job(host, silicon, monkeypatch, tmp_path):
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path / "gone"))
    with pytest.raises(UserTaskError, match="is no folder"):
        host.run("static", silicon)


def test_inputs_bear_the_candidates_name(host, copper):
    prepared(host, "static", copper)
    assert Poscar.from_file(str(host.folder / "POSCAR")).comment == "make/0 Cu"
