"""Programs that have several hosts for themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster.hosts import Hosts
from cluster.site import Site
from support.checker import Books
from support.real_campaigns import wait_for

pytestmark = pytest.mark.timeout(180)

WIDE = """\
[campaign]
name = "far"
database = "sqlite:///far.db"

[[job]]
name = "make"
use = "echo.source"
params = { count = 6 }

[[job]]
name = "wide"
input = "make"
use = "exec.run"
resources = { cores = 2, nodes = 2 }
grain = 1
[job.params]
argv = ["mpi", "{output}"]
output = "result.json"
"""

MPI = """\
#!/bin/sh
# Stands for mpirun: tells where it may run, and lasts long enough to be interrupted.
echo "$1 $(hostname)" >>BASE/begun
sleep 1
echo "$1 $(hostname)" >>BASE/ended
echo "{\\"properties\\": {\\"hosts\\": \\"$1\\"}}" >"$2"
"""


def test_a_task_has_two_hosts_and_a_lost_one_costs_no_try(tmp_path: Path, hosts: Hosts):
    site = Site(tmp_path / "work", hosts, lost_after_s=4)
    mpi = site.base / "mpi.sh"
    mpi.write_text(MPI.replace("BASE", str(site.base)))
    mpi.chmod(0o755)
    (site.base / "campaign.toml").write_text(WIDE)
    text = (site.base / "stargen.toml").read_text()
    named = f'[pool.far.commands]\nmpi = "{mpi} {{hosts}}"\n\n[pool.far.limits]'
    (site.base / "stargen.toml").write_text(text.replace("[pool.far.limits]", named))

    def lines(name: str) -> list[tuple[str, str]]:
        file = site.base / name
        text = file.read_text() if file.exists() else ""
        return [(told, where) for told, where in (line.split() for line in text.splitlines())]

    master = site.start("up", "campaign.toml")
    assert wait_for(lambda: bool(lines("begun")), 60)
    told, leader = lines("begun")[0]
    member = told.split(",")[1]
    assert told.split(",")[0] == leader
    hosts.kill(next(host for host in hosts.hosts if host.name == member))
    text, _ = master.communicate(timeout=120)
    assert master.returncode == 0, text

    for told, where in lines("begun"):
        assert len(set(told.split(","))) == 2
        assert told.startswith(f"{where},")
    assert len(lines("ended")) >= 6
    books = Books(site.folder / "journal")
    books.check_complete()
    books.check_database(site.base / "far.db")
    assert len(books.contents("wide")) == 6
    assert site.stargen("failures", "--campaign", "far", "--json")[1].strip() == "[]"
