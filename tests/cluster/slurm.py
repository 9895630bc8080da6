"""A private Slurm on one machine, for tests: four nodes, no accounting, nothing in /etc.

Every slurmd is a node of its own (`slurmd -N NAME` with its own port), all daemons listen on
127.0.0.1, and munge has its key and socket in the same folder as everything else.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from support.real_campaigns import kill, wait_for

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_TOOLS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
_PATIENCE_S = 20.0

CONF = """\
ClusterName=stargen
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CryptoType=crypto/munge
CommunicationParameters=NoAddrCache,NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SlurmdSpoolDir={folder}/state/%n
StateSaveLocation={folder}/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
SlurmdParameters=config_overrides
MinJobAge=60
KillWait=10
ReturnToService=2
SlurmdTimeout=10
InactiveLimit=0
MpiDefault=none
SwitchType=switch/none
SlurmctldDebug=info
SlurmdDebug=info
{nodes}
PartitionName=debug Nodes=n[1-{count}] Default=YES MaxTime=60 State=UP OverSubscribe=NO
"""


def why_not() -> str | None:
    """Why there can be no such Slurm here; None if there can."""
    if os.getuid() != 0:
        return "its daemons need root"
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=PATH) is None]
    if missing:
        return (
            f"not installed: {', '.join(missing)} (Debian: slurmctld, slurmd, slurm-client, munge)"
        )
    return None


@dataclass
class Slurm:
    """One such cluster, in `folder`, whose path should be short."""

    folder: Path
    count: int = 4
    cpus: int = 2
    port: int = field(default_factory=lambda: 20_000 + os.getpid() % 4_000 * 8)

    def environment(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": PATH}

    def run(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=30,
            env={**os.environ, **self.environment()},
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
        return done.stdout

    # --- its life ---------------------------------------------------------------------------------

    def up(self) -> None:
        for name in ("state", "log", *(f"state/n{i + 1}" for i in range(self.count))):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        host = socket.gethostname().partition(".")[0]
        nodes = "\n".join(
            f"NodeName=n{i + 1} NodeHostname={host} NodeAddr=127.0.0.1 Port={self.port + 1 + i}"
            f" CPUs={self.cpus} RealMemory=2048 State=UNKNOWN"
            for i in range(self.count)
        )
        conf = CONF.format(
            host=host, folder=self.folder, port=self.port, nodes=nodes, count=self.count
        )
        (self.folder / "slurm.conf").write_text(conf)
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self.run(
            "munged", "--force", f"--key-file={key}", f"--socket={self.folder}/munge.sock",
            f"--pid-file={self.folder}/munged.pid", f"--log-file={self.folder}/log/munged.log",
            f"--seed-file={self.folder}/munge.seed", "--num-threads=2",
        )  # fmt: skip
        self.run("slurmctld", "-f", str(self.folder / "slurm.conf"))
        for i in range(self.count):
            self.start_node(f"n{i + 1}")
        if not wait_for(lambda: self.states().count("idle") == self.count, _PATIENCE_S):
            log = (self.folder / "log" / "slurmctld.log").read_text()
            raise RuntimeError(f"the nodes are {self.states()}:\n{log[-2000:]}")

    def start_node(self, name: str) -> None:
        self.run("slurmd", "-f", str(self.folder / "slurm.conf"), "-N", name)

    def kill_node(self, name: str) -> None:
        """Its slurmd dies; what jobs run there goes on, as it would if only the daemon crashed."""
        note = self.folder / f"slurmd-{name}.pid"
        kill(int(note.read_text()))
        note.unlink()

    def states(self) -> list[str]:
        """How each node stands."""
        return self.run("sinfo", "-h", "-N", "-o", "%T", check=False).split()

    def jobs(self, *fields: str) -> list[list[str]]:
        """What is in the queue: the fields of `squeue -o` of each job; id, name, state if none."""
        form = "|".join(fields or ("%i", "%j", "%T"))
        lines = self.run("squeue", "-h", "-o", form, check=False).splitlines()
        return [line.split("|") for line in lines]

    def accept(self, yes: bool) -> None:
        """Whether new jobs are taken."""
        self.run("scontrol", "update", "PartitionName=debug", f"State={'UP' if yes else 'DRAIN'}")

    def clear(self) -> None:
        """Cancel every job and wait until nodes are idle again."""
        self.accept(True)
        for job in self.jobs("%i"):
            self.run("scancel", job[0], check=False)
        for i in range(self.count):
            if not (self.folder / f"slurmd-n{i + 1}.pid").exists():
                self.start_node(f"n{i + 1}")
        wait_for(lambda: not self.jobs() and self.states().count("idle") == self.count, 40.0)

    def down(self) -> None:
        for job in self.jobs("%i"):
            self.run("scancel", job[0], check=False)
        wait_for(lambda: not self.jobs(), 15.0)
        notes = [*self.folder.glob("slurmd-*.pid"), self.folder / "slurmctld.pid"]
        for note in [*notes, self.folder / "munged.pid"]:
            with suppress(OSError, ValueError):
                _end(int(note.read_text()))
        self._sweep()

    def _sweep(self) -> None:
        """Steps of a slurmd that was killed outlive it; all that Slurm starts names its file."""
        mark = f"SLURM_CONF={self.folder}/slurm.conf".encode()
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                environ = (path / "environ").read_bytes().split(b"\0")
                if mark in environ and any(e.startswith(b"SLURM_JOB_ID=") for e in environ):
                    kill(int(path.name))


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not wait_for(lambda: not _lives(pid), 5.0):
        kill(pid)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
