"""Agents over real SSH on loopback: `python benchmarks/fanout.py [--agents 200] [--tasks 20000]`.

Each agent is reached by a login of its own to an sshd that the benchmark starts, so that the master
pays for as many handshakes, connections and channels as on a cluster. Agents and sshd share this
machine's cores with the master: wall times are upper bounds, the master's CPU and memory are its
own. One task lasts long enough for all to join; if it did not, the table says how many had. Needs
root and an sshd (Debian: openssh-server).
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from common import (
    MAP,
    Run,
    be_master,
    read_jobs,
    run_script,
    save,
    scratch,
    table,
    verify_candidates,
)

OPEN = """
[[job]]
name = "open"
use = "echo.source"
params = {{ count = 1, seconds = {s} }}
resources = {{ cores = 0, io = 1 }}
"""
JOIN_S = 1.2
"""So long an agent takes to start where two cores start all of them."""

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
def sshd(folder: Path) -> Iterator[Path]:
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
    (folder / "sshd_config").write_text(SSHD.format(port=port, folder=folder))
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


def joined(run: Run) -> tuple[int, float]:
    """How many nodes joined, and seconds from the master's start to the last of them."""
    from stargen.journal import read_records
    from stargen.records import EpochStarted, NodeJoined, decode

    began, last, nodes = 0.0, 0.0, set[str]()
    for _, body in read_records(run.journal):
        match decode(body):
            case EpochStarted(at=at):
                began = at
            case NodeJoined(at=at, node=node):
                nodes.add(node)
                last = at
            case _:
                pass
    return len(nodes), last - began


def measure(folder: Path, config: Path, agents: int, tasks: int) -> dict[str, float]:
    """One campaign on so many agents."""
    text = MAP.format(tasks=tasks, use="echo.map", params="") + OPEN.format(s=agents * JOIN_S)
    run = run_script(folder, text, "fanout.py", "--child", str(config), "--agents", str(agents))
    nodes, start_s = joined(run)
    log = read_jobs(run.journal)["map"]
    verify_candidates(run.journal, log, {f"make/{i}" for i in range(tasks)})
    return {
        "agents": nodes,
        "start_s": start_s,
        "tasks_per_s": tasks / log.span_s,
        "master_cpu_s": run.master_cpu_s,
        "master_rss_mib": run.master_rss_mib,
    }


def child(file: Path, config: Path, agents: int) -> None:
    """Be the master of one campaign; print what it took."""
    from stargen.config import Limits, Pool, Settings, Ssh

    pool = Pool(
        launcher="ssh",
        hosts=(f"cn[001-{agents:03}]",),
        ssh=Ssh(config=str(config), connect_s=120.0),
        limits=Limits(cores=1, memory_gib=1.0, gpus=0),
    )
    be_master(file, Settings(pool={"far": pool}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=20_000)
    options = parser.parse_args()
    if options.child is not None:
        child(options.file, options.child, options.agents)
        return
    few = max(1, options.agents // 20)
    with scratch() as folder, sshd(folder) as config:
        rows = [
            measure(folder / str(agents), config, agents, options.tasks)
            for agents in (few, options.agents)
        ]
    heads = ["agents joined", "the last after s", "tasks/s", "master CPU s", "master MiB"]
    table(heads, [list(row.values()) for row in rows])
    one, many = rows
    more = many["agents"] - one["agents"]
    each = {
        "master CPU ms an agent": (many["master_cpu_s"] - one["master_cpu_s"]) / more * 1e3,
        "master KiB an agent": (many["master_rss_mib"] - one["master_rss_mib"]) / more * 1024,
        "master CPU s per 1,000 tasks": one["master_cpu_s"] / options.tasks * 1e3,
    }
    table(["", "value"], [[name, value] for name, value in each.items()])
    save("fanout", {"runs": rows, "each": each})


if __name__ == "__main__":
    main()
