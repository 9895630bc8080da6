"""Agents over real SSH on loopback: `python benchmarks/fanout.py [--agents 200] [--tasks 20000]`.

Each agent is reached by a login of its own to an sshd that the benchmark starts, or with --group N
through the first of N, so that the master pays for as many handshakes, connections and channels as
on a cluster. All jobs are held until the last agent has joined. Agents, their workers and sshd
share this machine's cores with the master: wall times are upper bounds, the master's CPU and memory
are its own. One sshd stands for those of all hosts, so it takes many logins at once, and shells
read no start-up files. Needs root and an sshd (Debian: openssh-server).
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
from common import (
    MAP,
    be_master,
    read_jobs,
    run_script,
    save,
    scratch,
    table,
    verify_candidates,
)

LOOK_S = 0.5
MAX_SESSIONS = 10
"""Of sshd, as it comes."""

SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/id.pub
PidFile none
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxSessions {sessions}
MaxStartups 1000
SetEnv HOME={folder}
"""

CLIENT = """\
Host cn*
  HostName 127.0.0.1
  Port {port}
  IdentityFile {folder}/id
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
"""


@contextmanager
def sshd(folder: Path, sessions: int) -> Iterator[Path]:
    """An sshd on loopback; the ssh_config that reaches it under any name cn*."""
    server = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if server is None or os.getuid() != 0:
        sys.exit("this needs root and an sshd (Debian: openssh-server)")
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("host_key", "id"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name]
        subprocess.run(words, check=True)
    (folder / "sshd_config").write_text(SSHD.format(port=port, folder=folder, sessions=sessions))
    (folder / "ssh_config").write_text(CLIENT.format(port=port, folder=folder))
    key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}\n")
    Path("/run/sshd").mkdir(exist_ok=True)
    words = [server, "-D", "-e", "-f", folder / "sshd_config"]
    process = subprocess.Popen(words, stderr=(folder / "sshd.log").open("wb"))
    try:
        time.sleep(0.5)
        yield folder / "ssh_config"
    finally:
        process.terminate()
        process.wait()


def joined(journal: Path) -> tuple[int, float]:
    """How many nodes have joined, and seconds from the master's start to the last of them."""
    from stargen.journal import read_records
    from stargen.records import EpochStarted, NodeJoined, decode

    began, last, nodes = 0.0, 0.0, set[str]()
    for _, body in read_records(journal):
        match decode(body):
            case EpochStarted(at=at):
                began = at
            case NodeJoined(at=at, node=node):
                nodes.add(node)
                last = at
            case _:
                pass
    return len(nodes), last - began


def messages(journal: Path) -> int:
    """How many messages carried orders and results: each has a record, acknowledgements none."""
    from stargen.journal import read_records
    from stargen.records import TasksAssigned, TasksFinished, decode

    bodies = (decode(body) for _, body in read_records(journal))
    return sum(isinstance(body, TasksAssigned | TasksFinished) for body in bodies)


class Release(threading.Thread):
    """Lets the jobs go once there are so many agents.

    Parameters
    ----------
    folder : of the campaign
    cpu_s : what the master had used by then, its imports included
    """

    def __init__(self, folder: Path, agents: int) -> None:
        super().__init__()
        self.folder = folder
        self.agents = agents
        self.over = threading.Event()
        self.cpu_s = 0.0

    def run(self) -> None:
        from stargen.errors import JournalError
        from stargen.master.control import ControlClient

        while not self.over.wait(LOOK_S):
            with suppress(OSError, JournalError):  # there is none yet
                if joined(self.folder / "journal")[0] >= self.agents:
                    with ControlClient.of(self.folder) as master:
                        master.ask("release", "")
                    break
        for child in psutil.Process().children():
            if "--child" in child.cmdline():
                used = child.cpu_times()
                self.cpu_s = used.user + used.system

    def __enter__(self) -> Release:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def measure(folder: Path, config: Path, agents: int, group: int, tasks: int) -> dict[str, float]:
    """One campaign on so many agents."""
    text = MAP.format(tasks=tasks, use="echo.map", params="")
    words = ("--child", str(config), "--agents", str(agents), "--group", str(group))
    with Release(folder / "out", agents) as release:
        run = run_script(folder, text, "fanout.py", *words)
    nodes, start_s = joined(run.journal)
    log = read_jobs(run.journal)["map"]
    verify_candidates(run.journal, log, {f"make/{i}" for i in range(tasks)})
    return {
        "agents": nodes,
        "start_s": start_s,
        "tasks_per_s": tasks / log.span_s,
        "messages_per_s": messages(run.journal) / log.span_s,
        "end_s": run.wall_s,
        "start_cpu_s": release.cpu_s,
        "master_cpu_s": run.master_cpu_s,
        "master_rss_mib": run.master_rss_mib,
    }


def child(file: Path, config: Path, agents: int, group: int) -> None:
    """Be the master of one campaign; print what it took."""
    from stargen.config import Limits, Pool, Settings, Ssh

    onward = f"ssh -F {config}"
    pool = Pool(
        launcher="ssh",
        hosts=(f"cn[001-{agents:03}]",),
        ssh=Ssh(config=str(config), connect_s=120.0, group=group, onward=onward),
        limits=Limits(cores=1, memory_gib=1.0, gpus=0),
    )
    be_master(file, Settings(pool={"far": pool}), requests=[("hold", "")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--group", type=int, default=1, help="so many hosts behind one login")
    parser.add_argument("--tasks", type=int, default=20_000)
    options = parser.parse_args()
    agents, group = options.agents, options.group
    if options.child is not None:
        child(options.file, options.child, agents, group)
        return
    with scratch() as folder, sshd(folder, max(MAX_SESSIONS, group + 2)) as config:
        rows = [
            measure(folder / str(count), config, count, group, options.tasks)
            for count in (max(1, agents // 20), agents)
        ]
    heads = ["agents joined", "the last after s", "tasks/s", "messages/s", "all over after s"]
    heads += ["master CPU s when they had", "master CPU s", "master MiB"]
    table(heads, [list(row.values()) for row in rows])
    one, many = rows
    more = many["agents"] - one["agents"]
    each = {
        "master CPU ms an agent to start": (many["start_cpu_s"] - one["start_cpu_s"]) / more * 1e3,
        "master KiB an agent": (many["master_rss_mib"] - one["master_rss_mib"]) / more * 1024,
        "master CPU s per 1,000 tasks": one["master_cpu_s"] / options.tasks * 1e3,
    }
    table(["", "value"], [[name, value] for name, value in each.items()])
    save("fanout" if group == 1 else "fanout-groups", {"runs": rows, "each": each})


if __name__ == "__main__":
    main()
