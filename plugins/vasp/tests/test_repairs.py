import gzip
import shutil

import pytest
from stargen_vasp.editing import Inputs, reached
from stargen_vasp.outputs import Outputs
from stargen_vasp.repairs import table
from stargen_vasp.run import Run

from stargen.errors import OutOfMemory, TaskError, UserTaskError

SAMPLES = {
    "vasp.algo_tet_only": "algo_tet",
    "vasp.brions": "brions",
    "vasp.brmix": "brmix",
    "vasp.dentet.gz": "dentet",
    "vasp.dfpt_ncore": "dfpt_ncore",
    "vasp.edddav": "edddav",
    "vasp.edddav2": "edddav",
    "vasp.eddiag": "zheev",
    "vasp.eddrmm": "eddrmm",
    "vasp.gradient_not_orthogonal": "grad_not_orth",
    "vasp.harris": "spin_polarized_harris",
    "vasp.hnform": "hnform",
    "vasp.ibzkpt": "ibzkpt",
    "vasp.ksymm": "ksymm",
    "vasp.nbands_not_sufficient": "nbands_not_sufficient",
    "vasp.nicht_konvergent": "nicht_konv",
    "vasp.pdsyevx": "psyevx",
    "vasp.point_group": "point_group",
    "vasp.posmap": "posmap",
    "vasp.pricelv": "posmap",
    "vasp.pssyevx": "psyevx",
    "vasp.read_error": "read_error",
    "vasp.real_optlay.gz": "real-space projection",
    "vasp.rhosyg": "rhosyg",
    "vasp.set_core_wf": "set_core_wf",
    "vasp.sgrcon": "rot_matrix",
    "vasp.subspace": "subspacematrix",
    "vasp.symprec_noise": "symprec_noise",
    "vasp.too_few_bands_round_error": "too_few_bands",
    "vasp.zbrent": "zbrent",
    "vasp.ztrtri": "zpotrf",
    "vasp.amin": "amin",
    "zpotrf/vasp.out": "zpotrf",
    "vasp.fd_ncore": "dfpt_ncore",
    "aliasing/vasp.aliasing_incar": "aliasing",
    "lrf_comm/std_err.txt.gz": "lrf_comm",
    "large_cell_real_optlay/vasp.out": "real-space projection",
    "poscar_error/vasp.out": "rot_matrix",
    "zpotrf_small/vasp.out": "zpotrf",
    "std_err.txt.oom": "out of memory",
    "std_err.txt.kpoints_trans": "kpoints_trans",
}


def test_no_recorded_print_is_left_out(shared_data):
    folder = shared_data / "vasp_samples" / "custodian"
    kinds = ("vasp.", "std_err")
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.name.startswith(kinds)}
    # Slurm tells there of its options alone
    assert found - set(SAMPLES) == {"large_cell_real_optlay/std_err.txt"}


BATCH = {
    "slurmstepd: error: *** STEP 7.0 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***":
        "ended by the batch system",
    "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO PREEMPTION ***":
        "ended by the batch system",
    "srun: error: Node failure on n7": "ended by the batch system",
    "=>> PBS: job killed: walltime 3605 exceeded limit 3600": "ended by the batch system",
    "TERM_RUNLIMIT: job killed after reaching LSF run time limit.": "ended by the batch system",
    "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit.": "out of memory",
    "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0.": "out of memory",
    "srun: error: n1: task 3: Out Of Memory": "out of memory",
}  # fmt: skip


@pytest.mark.parametrize("said", BATCH)
def test_what_the_batch_system_says_is_understood(tmp_path, said):
    (tmp_path / "stderr.txt").write_text(said)
    finding = table.seen_after_the_end(Outputs(tmp_path), Run(step="vasp.relax"))
    assert finding is not None
    assert finding.fault == BATCH[said]


def text_of(path):
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode(errors="replace")


@pytest.mark.parametrize("name", SAMPLES)
def test_what_vasp_printed_is_understood(shared_data, tmp_path, name):
    path = shared_data / "vasp_samples" / "custodian" / name
    (tmp_path / "stdout.txt").write_text(text_of(path))
    finding = table.seen_after_the_end(Outputs(tmp_path), Run(step="vasp.relax"))
    assert finding is not None
    assert finding.fault == SAMPLES[name]
    assert finding.message
    watched = table.seen_while_running(Outputs(tmp_path), Run(step="vasp.relax"))
    repair = table.BY_FAULT[finding.fault]
    assert (watched is None) == getattr(repair, "advice", False)


INCAR = "ALGO = Fast\nEDIFF = 0.0001\nEDIFFG = -0.01\nIBRION = 2\nISIF = 3\nISMEAR = -5\nNSW = 20\n"
POSCAR = "x/0 Cu\n1.0\n0 1.8 1.8\n1.8 0 1.8\n1.8 1.8 0\nCu\n1\nDirect\n0 0 0\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "INCAR").write_text(INCAR)
    (tmp_path / "POSCAR").write_text(POSCAR)
    (tmp_path / "CONTCAR").write_text(POSCAR.replace("1.8", "1.79"))
    (tmp_path / "KPOINTS").write_text("mesh\n0\nMonkhorst\n4 4 4\n")
    for name in ("WAVECAR", "CHGCAR", "STOPCAR", "vasprun.xml", "stdout.txt"):
        (tmp_path / name).write_text("something")
    return tmp_path


@pytest.mark.parametrize("repair", table.REPAIRS, ids=lambda repair: repair.fault.replace(" ", "-"))
def test_every_correction_is_written_and_recorded(folder, repair):
    """Each try changes what it says, until it says that there is nothing left."""
    for tries in range(min(repair.most, 5)):
        inputs = Inputs(folder)
        try:
            changed = repair.correct(inputs, tries)
        except TaskError:
            return  # it says that no change of the input helps
        if not changed:
            assert tries or repair.fault in NOTHING_TO_DO
            return
        if repair.fault not in ("died", "truncated"):
            assert inputs.changes
        inputs.write()
        after = Inputs(folder)
        for name, (_, new) in inputs.changes.items():
            if name.isupper() and name not in ("WAVECAR", "CHGCAR", "POSCAR", "KPOINTS"):
                assert str(after.tag(name)).upper() == str(new).upper()
        assert not (folder / "stdout.txt").exists()
        assert not (folder / "STOPCAR").exists()


NOTHING_TO_DO = ("nbands_not_sufficient", "too_few_bands", "dfpt_ncore")


def correct(fault, folder, tries=0):
    inputs = Inputs(folder)
    assert table.BY_FAULT[fault].correct(inputs, tries)
    inputs.write()
    return inputs


def test_a_line_search_gets_sharper_energies_and_goes_on(folder):
    inputs = correct("zbrent", folder)
    assert inputs.changes["EDIFF"] == (1e-4, 1e-6)
    assert inputs.changes["POSCAR"][1] == "CONTCAR"
    assert Inputs(folder).structure.lattice.a == pytest.approx(1.79 * 2**0.5)
    assert not inputs.physics
    again = correct("zbrent", folder, 1)
    assert again.changes["EDIFF"] == (1e-6, 1e-7)
    assert again.tag("IBRION") == 1


def test_what_changes_the_physics_is_known(folder):
    assert set(correct("tet", folder).physics) == {"ISMEAR", "SIGMA"}
    assert correct("incorrect_shift", folder).physics == {
        "KPOINTS": ("Monkhorst 4x4x4", "Gamma 4x4x4")
    }


def test_a_fixed_density_is_never_thrown_away(folder):
    (folder / "INCAR").write_text(INCAR + "ICHARG = 11\n")
    correct("edddav", folder)
    assert (folder / "CHGCAR").exists()
    correct("eddrmm", folder)
    assert (folder / "CHGCAR").exists()
    assert not (folder / "WAVECAR").exists()


def test_memory_is_first_saved_then_asked_for(folder):
    (folder / "INCAR").write_text(INCAR + "KPAR = 2\n")
    assert correct("out of memory", folder).changes == {"KPAR": (2, 1)}
    with pytest.raises(OutOfMemory):
        table.BY_FAULT["out of memory"].correct(Inputs(folder), 1)


def test_a_tag_that_vasp_cannot_read_stops_the_job(folder):
    with pytest.raises(UserTaskError, match="incar"):
        table.BY_FAULT["read_error"].correct(Inputs(folder), 0)


def test_a_broken_contcar_is_replaced_by_the_last_finished_step(folder, shared_data):
    source = shared_data / "vasp_samples" / "pymatgen" / "outputs" / "vasprun.bad.xml.gz"
    (folder / "CONTCAR").write_text("half a li")
    (folder / "vasprun.xml").write_text(text_of(source))
    found = reached(folder)
    assert found is not None
    structure, where = found
    assert where == "last step of vasprun.xml"
    assert len(structure) > 0


def test_a_large_entropy_is_mended_but_never_a_failure(shared_data, tmp_path):
    source = shared_data / "vasp_samples" / "custodian" / "large_sigma"
    for name in ("INCAR", "POSCAR"):
        shutil.copy(source / name, tmp_path)
    (tmp_path / "KPOINTS").write_text("mesh\n0\nGamma\n4 4 4\n")
    (tmp_path / "vasprun.xml").write_text("</modeling>\n")

    def seen(outcar, **run):
        (tmp_path / "OUTCAR").write_text(text_of(source / outcar))
        run = Run(step="vasp.relax", max_corrections=8, **run)
        return table.seen_after_the_end(Outputs(tmp_path), run)

    finding = seen("OUTCAR_fail_sigma_check.gz")
    assert finding is not None
    assert "T*S is 32.8 meV/atom with SIGMA = 0.8" in finding.message
    assert seen("OUTCAR_pass_sigma_check.gz") is None
    assert seen("OUTCAR_fail_sigma_check.gz", strict=True) is None
    done = {"step": "vasp.relax", "fault": "large sigma"}
    assert seen("OUTCAR_fail_sigma_check.gz", corrections=[done, done]) is None
    assert correct("large sigma", tmp_path).changes["SIGMA"] == (0.8, 0.2)


def test_a_coarse_mesh_of_another_class_becomes_even(folder):
    (folder / "KPOINTS").write_text("mesh\n0\nGamma\n4 4 3\n")
    assert correct("mesh_symmetry", folder).changes["KPOINTS"][1] == "Gamma 4x4x4"


def test_recorded_runs_are_judged(shared_data, tmp_path):
    source = shared_data / "vasp_samples" / "custodian" / "nonconv"
    for name in ("INCAR", "OSZICAR", "POSCAR"):
        shutil.copy(source / name, tmp_path)
    finding = table.seen_while_running(Outputs(tmp_path), Run(step="vasp.relax"))
    assert finding is not None
    assert finding.fault == "electrons never converge"
    positive = shared_data / "vasp_samples" / "custodian" / "positive_energy"
    for name in ("INCAR", "OSZICAR", "POSCAR"):
        shutil.copy(positive / name, tmp_path)
    finding = table.seen_while_running(Outputs(tmp_path), Run(step="vasp.relax"))
    assert finding is not None
    assert finding.fault == "positive energy"
