"""The batch systems: what each calls things, beyond what qtoolkit knows of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from qtoolkit.io.pbs import PBSIO
from qtoolkit.io.sge import SGEIO
from qtoolkit.io.slurm import SlurmIO

from stargen.config import Batch, Pool
from stargen.errors import NodeError
from stargen.launchers.base import RANK
from stargen.launchers.batch import BatchLauncher
from stargen.launchers.language import Language
from stargen.launchers.lsf import LsfIO

_NO_REASON = ("", "None")


class _System:
    """What most have in common."""

    name = ""
    by_user = True

    def reasons(self, stdout: str) -> Mapping[str, str]:
        return {}

    def notice(self, seconds: float) -> list[str]:
        return []

    def last_state(self, job_id: str) -> str:
        return ""

    def read_last_state(self, stdout: str) -> str:
        return ""


class Slurm(_System):
    """Slurm, by squeue and scontrol: accounting is not needed."""

    name = "Slurm"

    def __init__(self) -> None:
        self.io = cast("Language", SlurmIO())

    def header(self, pool: Pool, nodes: int) -> dict[str, Any]:
        batch, limits = pool.batch, pool.limits
        options = {
            "partition": batch.partition,
            "account": batch.account,
            "qos": batch.qos,
            "nodes": nodes,
            "ntasks_per_node": 1,
            "cpus_per_task": limits.cores,
            "mem": f"{_mib(limits.memory_gib)}M",
            "gpus_per_node": limits.gpus or None,
            # A pilot that lost its node is asked for anew, if there still is work for it.
            "qverbatim": _lines("#SBATCH --no-requeue", batch),
        }
        return _given(options)

    def walltime(self, seconds: float) -> dict[str, Any]:
        return {"time": _clock(seconds)}

    def notice(self, seconds: float) -> list[str]:
        return [f"#SBATCH --signal=B:TERM@{int(seconds)}"]

    def spread(self, nodes: int, cores: int) -> list[str]:
        # One that ends shall not take the others with it; and a step has one core if not told.
        return [
            *("srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"),
            *(f"--cpus-per-task={cores}", "--wait=0", "--kill-on-bad-exit=0"),
        ]

    def reasons(self, stdout: str) -> Mapping[str, str]:
        rows = [line.split("<><>") for line in stdout.splitlines() if "<><>" in line]
        return {r[0].strip(): r[2].strip() for r in rows if r[2].strip() not in _NO_REASON}

    def last_state(self, job_id: str) -> str:
        return f"scontrol show job -o {int(job_id)}"

    def read_last_state(self, stdout: str) -> str:
        state = re.search(r"\bJobState=(\S+)", stdout)
        reason = re.search(r"\bReason=(\S+)", stdout)
        if state is None:
            return ""
        why = reason[1] if reason and reason[1] not in _NO_REASON else ""
        return f"Slurm says {state[1]}" + (f" ({why})" if why else "")


class _AllOfUser(PBSIO):
    def get_jobs_list_cmd(self, jobs: Any = None, user: str | None = None) -> str:
        """Return the command; `qstat -f` takes no user, but `qselect` does."""
        if user is None:
            return super().get_jobs_list_cmd(jobs, None)
        return f'jobs=$(qselect -u {user}) && {{ test -z "$jobs" || qstat -f $jobs; }}'


class Pbs(_System):
    """PBS Professional and OpenPBS. To list all jobs of a user in full takes two commands."""

    name = "PBS"
    by_user = False

    def __init__(self) -> None:
        self.io = cast("Language", _AllOfUser())

    def header(self, pool: Pool, nodes: int) -> dict[str, Any]:
        batch, limits = pool.batch, pool.limits
        gpus = f":ngpus={limits.gpus}" if limits.gpus else ""
        memory = f"mem={_mib(limits.memory_gib)}mb"
        options = {
            "queue": batch.partition,
            "account": batch.account,
            "select": f"select={nodes}:ncpus={limits.cores}:{memory}{gpus}",
            "place": "scatter" if nodes > 1 else None,
            "rerunnable": "n",
            "qverbatim": _lines("#PBS -j oe", batch),
        }
        return _given(options)

    def walltime(self, seconds: float) -> dict[str, Any]:
        return {"walltime": _clock(seconds)}

    def spread(self, nodes: int, cores: int) -> list[str]:
        return ["pbsdsh", "--"]

    def last_state(self, job_id: str) -> str:
        return f"qstat -x -f {job_id}"

    def read_last_state(self, stdout: str) -> str:
        code = re.search(r"^\s*Exit_status = (\S+)", stdout, re.MULTILINE)
        comment = re.search(r"^\s*comment = (.+)", stdout, re.MULTILINE)
        said = [f"exit status {code[1]}"] if code else []
        return "; ".join([*said, *([comment[1].strip()] if comment else [])])


class Sge(_System):
    """Grid Engine. How many cores a job gets is a parallel environment's, by the site's name.

    Those of several nodes must be such that `qrsh -inherit` may start programs on each.
    """

    name = "Grid Engine"

    def __init__(self) -> None:
        self.io = cast("Language", SGEIO())

    def header(self, pool: Pool, nodes: int) -> dict[str, Any]:
        batch = pool.batch
        if nodes > 1 and not any("-pe " in line for line in batch.lines):
            problem = (
                f"{nodes} nodes of {pool.limits.cores} cores need a parallel environment; name it"
                f' in lines: "#$ -pe NAME {nodes * (pool.limits.cores or 1)}"'
            )
            raise NodeError(problem, node=self.name)
        options = {
            "queue": batch.partition,
            "device": batch.account,  # so qtoolkit calls the project of -P
            "rerunnable": "n",
            "qverbatim": _lines("#$ -j y", batch),
        }
        return _given(options)

    def walltime(self, seconds: float) -> dict[str, Any]:
        return {"walltime": _clock(seconds)}

    def spread(self, nodes: int, cores: int) -> list[str]:
        return _on_each("PE_HOSTFILE", 'qrsh -inherit -nostdin "$host"')


class Lsf(_System):
    """IBM Spectrum LSF."""

    name = "LSF"

    def __init__(self) -> None:
        self.io = cast("Language", LsfIO())

    def header(self, pool: Pool, nodes: int) -> dict[str, Any]:
        batch, limits = pool.batch, pool.limits
        cores = limits.cores or 1
        options = {
            "queue": batch.partition,
            "project": batch.account,
            "cores": nodes * cores,
            "placement": f"span[ptile={cores}]",
            "memory": f"{_mib(limits.memory_gib)}MB",
            "gpus": f"num={limits.gpus}" if limits.gpus else None,
            "qverbatim": _lines("#BSUB -rn", batch),
        }
        return _given(options)

    def walltime(self, seconds: float) -> dict[str, Any]:
        return {"minutes": max(1, int(seconds // 60))}

    def spread(self, nodes: int, cores: int) -> list[str]:
        return _on_each("LSB_DJOB_HOSTFILE", 'blaunch "$host"')

    def reasons(self, stdout: str) -> Mapping[str, str]:
        rows = [line.split("|") for line in stdout.splitlines() if line.count("|") >= 3]
        return {r[0].strip(): r[3].strip() for r in rows if r[3].strip() not in ("", "-")}


def _on_each(hosts: str, launch: str) -> list[str]:
    """What starts a command on each host by `launch`, and tells it on which it is.

    `hosts` is the variable that names the file of hosts, each perhaps several times.
    """
    start = f'{launch} env {RANK}=$n "$@" & n=$((n + 1))'
    script = f"""n=0; for host in $(cut -d" " -f1 "${hosts}" | sort -u); do {start}; done; wait"""
    return ["/bin/sh", "-c", script, "spread"]


def _lines(own: str, batch: Batch) -> str:
    return "\n".join([own, *batch.lines])


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _mib(gib: float | None) -> int:
    return int((gib or 0.0) * 1024)


def _clock(seconds: float) -> str:
    minutes, s = divmod(int(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours:02}:{m:02}:{s:02}"


def slurm() -> BatchLauncher:
    return BatchLauncher(Slurm())


def pbs() -> BatchLauncher:
    return BatchLauncher(Pbs())


def sge() -> BatchLauncher:
    return BatchLauncher(Sge())


def lsf() -> BatchLauncher:
    return BatchLauncher(Lsf())
