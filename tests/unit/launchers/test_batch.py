"""Batch systems by what their commands print, and by stand-ins that run the scripts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from cluster import commands

from stargen.config import Batch, Limits, Pool
from stargen.errors import NodeError
from stargen.launchers import systems
from stargen.launchers.batch import AllocationSpec, BatchLauncher
from stargen.launchers.pilot import node_name

MAKE = {"slurm": systems.slurm, "pbs": systems.pbs, "sge": systems.sge, "lsf": systems.lsf}

BATCH = Batch(
    account="mat42",
    partition="normal",
    walltime=("00:30:00",),
    lines=("#EXTRA one",),
)
LIMITS = Limits(cores=24, memory_gib=48, gpus=2)


def settings(system: str) -> Pool:
    return Pool(launcher=system, batch=BATCH, limits=LIMITS, setup=("module load vasp",))


def spec(folder: Path, system: str, nodes: int = 1) -> AllocationSpec:
    return AllocationSpec(
        "cpu-1", "cpu", settings(system), nodes, 1800.0, "0123456789abcdef", folder, 60.0
    )


HEADS = {
    "slurm": [
        "#SBATCH --partition=normal",
        "#SBATCH --job-name=sg-01234567-cpu-1",
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --cpus-per-task=24",
        "#SBATCH --mem=49152M",
        "#SBATCH --gpus-per-node=2",
        "#SBATCH --time=00:30:00",
        "#SBATCH --account=mat42",
        "#SBATCH --no-requeue",
    ],
    "pbs": [
        "#PBS -q normal",
        "#PBS -N sg-01234567-cpu-1",
        "#PBS -A mat42",
        "#PBS -l select=2:ncpus=24:mem=49152mb:ngpus=2",
        "#PBS -l walltime=00:30:00",
        "#PBS -l place=scatter",
        "#PBS -r n",
        "#PBS -j oe",
    ],
    "lsf": [
        "#BSUB -q normal",
        "#BSUB -P mat42",
        "#BSUB -J sg-01234567-cpu-1",
        "#BSUB -n 48",
        '#BSUB -R "span[ptile=24]"',
        '#BSUB -gpu "num=2"',
        "#BSUB -M 49152MB",
        "#BSUB -W 30",
        "#BSUB -rn",
    ],
    "sge": [
        "#$ -q normal",
        "#$ -N sg-01234567-cpu-1",
        "#$ -P mat42",
        "#$ -l h_rt=00:30:00",
        "#$ -r n",
        "#$ -j y",
    ],
}


@pytest.mark.parametrize("system", MAKE)
async def test_scripts_ask_for_what_the_site_file_says(system, tmp_path, monkeypatch):
    env = commands.install("lsf" if system == "lsf" else "pbs", tmp_path / "batch")
    monkeypatch.setenv("PATH", f"{env['PATH']}")
    monkeypatch.setenv("FAKE_BATCH", env["FAKE_BATCH"])
    (tmp_path / "batch" / "refuse").touch()
    nodes = 1 if system == "sge" else 2
    with pytest.raises(NodeError):
        await MAKE[system]().submit(spec(tmp_path, system, nodes))
    script = tmp_path / "run" / "allocations" / "cpu-1.sh"
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    assert set(HEADS[system]) <= set(lines)
    assert "#EXTRA one" in lines
    assert lines.index("module load vasp") < len(lines) - 1
    assert "stargen.launchers.pilot" in lines[-1]
    assert any(line.startswith("export STARGEN_ENDS_AT=") for line in lines)
    if nodes > 1:
        assert lines[-1].split()[1] in ("srun", "pbsdsh", "/bin/sh")
    assert script.stat().st_mode & 0o77 == 0


async def test_grid_engine_must_be_told_how_several_nodes_are_had(tmp_path):
    with pytest.raises(NodeError, match='name it in lines: "#\\$ -pe NAME 48"'):
        await systems.sge().submit(spec(tmp_path, "sge", 2))


@pytest.fixture(params=["pbs", "sge", "lsf"])
def fake(request, tmp_path, monkeypatch) -> tuple[BatchLauncher, AllocationSpec, Path]:
    folder = tmp_path / "batch"
    for name, value in commands.install(request.param, folder).items():
        monkeypatch.setenv(name, value)
    mine = replace(
        spec(tmp_path, request.param), settings=replace(settings(request.param), setup=())
    )
    sleeper = tmp_path / "python"
    sleeper.write_text('#!/bin/sh\necho "a pilot of $3"\nexec sleep 60\n')
    sleeper.chmod(0o755)
    mine = replace(mine, settings=replace(mine.settings, interpreter=str(sleeper)))
    return MAKE[request.param](), mine, folder


async def until_gone(launcher: BatchLauncher, mine: AllocationSpec, job: str) -> None:
    async with asyncio.timeout(20):
        while await launcher.look(  # noqa: ASYNC110 - a process of nobody's
            mine.settings, mine.campaign_id, {"cpu-1": job}
        ):
            await asyncio.sleep(0.05)


async def test_a_job_is_submitted_found_and_cancelled(fake):
    launcher, mine, _ = fake
    assert await launcher.look(mine.settings, mine.campaign_id, {}) == {}
    job = await launcher.submit(mine)
    assert job in ("17", "17.pbs")
    rows = await launcher.look(mine.settings, mine.campaign_id, {"cpu-1": job})
    assert {name: (row.job_id, row.state) for name, row in rows.items()} == {
        "cpu-1": (job, "running")
    }
    await launcher.cancel(mine.settings, [job])
    await until_gone(launcher, mine, job)
    assert "a pilot of" in await launcher.last_words(mine, job, output=True)
    await launcher.cancel(mine.settings, [job])


async def test_a_job_whose_number_was_lost_is_found_by_its_name(fake):
    launcher, mine, _ = fake
    job = await launcher.submit(mine)
    rows = await launcher.look(mine.settings, mine.campaign_id, {}, all_=True)
    assert rows["cpu-1"].job_id == job
    assert await launcher.look(mine.settings, "another", {}, all_=True) == {}
    await launcher.cancel(mine.settings, [job])
    await until_gone(launcher, mine, job)
    assert await launcher.look(mine.settings, mine.campaign_id, {}, all_=True) == {}


async def test_a_refusal_is_told_in_the_batch_systems_words(fake):
    launcher, mine, folder = fake
    (folder / "refuse").touch()
    with pytest.raises(NodeError, match=r"limit|only 1 job allowed|threshold"):
        await launcher.submit(mine)


SQUEUE = [
    ("4", "PD", "Priority", "sg-01234567-cpu-2", "10:00", "0:00"),
    ("3", "R", "None", "sg-01234567-cpu-1", "10:00", "0:05"),
    ("2", "CG", "None", "sg-01234567-cpu-3", "10:00", "0:05"),
    ("1", "PD", "Resources", "other", "1-10:00:00", "0:00"),
]


def squeue_lines() -> str:
    """As `squeue -o '%i<><> %t<><> ...'` prints them."""
    rows = [(*r[:4], "me", "debug", r[4], "1", "2", r[5], "1024M") for r in SQUEUE]
    return "".join("<><> ".join(row) + "\n" for row in rows)


async def test_squeue_says_why_a_job_waits(tmp_path, monkeypatch):
    squeue = tmp_path / "squeue"
    squeue.write_text(f"#!/bin/sh\ncat <<'END'\n{squeue_lines()}END\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    rows = await systems.slurm().look(settings("slurm"), "0123456789abcdef", {})
    assert {name: (row.state, row.reason) for name, row in rows.items()} == {
        "cpu-1": ("running", ""),
        "cpu-2": ("queued", "Priority"),
        "cpu-3": ("running", ""),
    }


async def test_a_queue_that_cannot_be_asked_says_nothing_of_its_jobs(tmp_path, monkeypatch):
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact' >&2\nexit 1\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(NodeError, match="Unable to contact"):
        await systems.slurm().look(settings("slurm"), "c", {"cpu-1": "3"})


@pytest.mark.parametrize(
    ("nodes", "environ", "name"),
    [
        (1, {"SLURM_PROCID": "3"}, "cpu-1"),
        (4, {"SLURM_PROCID": "3"}, "cpu-1.3"),
        (4, {"PBS_NODENUM": "2"}, "cpu-1.2"),
    ],
)
def test_nodes_of_an_allocation_are_told_apart_by_their_rank(nodes, environ, name):
    assert node_name("cpu-1", nodes, environ) == name
