"""Campaigns in allocations of PBS, Grid Engine and LSF, whose commands are stand-ins here."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from cluster import commands
from cluster.batch import SITE, WORK
from cluster.hosts import Hosts
from cluster.site import Site
from support.checker import Books
from support.real_campaigns import Desk, wait_for

pytestmark = pytest.mark.timeout(120)


class Login(Desk):
    def __init__(self, base: Path, system: str) -> None:
        super().__init__(base)
        self._more = commands.install(system, base / "batch")
        self.write("stargen.toml", SITE.replace('"slurm"', f'"{system}"'))
        self.write("campaign.toml", WORK.format(count=8, seconds=0.5, more=""))

    def environment(self) -> dict[str, str]:
        return super().environment() | self._more


@pytest.mark.parametrize("system", ["pbs", "sge", "lsf"])
def test_a_campaign_runs_in_allocations(system: str, tmp_path: Path):
    login = Login(tmp_path / "work", system)
    try:
        code, text = login.stargen("up", "campaign.toml", timeout_s=100)
        assert code == 0, text
        books = Books(login.base / "campaigns" / "far" / "journal")
        books.check_complete()
        books.check_database(login.base / "far.db")
        assert "allocation cpu-1 (job 17" in text
        assert "is ended: cancelled" in text
        assert wait_for(lambda: not login.processes(), 20.0)
    finally:
        login.sweep()


@pytest.mark.parametrize("system", ["sge", "lsf"])
def test_one_allocation_may_have_several_nodes(system: str, tmp_path: Path):
    login = Login(tmp_path / "work", system)
    site = SITE.replace('"slurm"', f'"{system}"') + 'nodes = 2\nlines = ["#$ -pe mpi 4"]\n'
    login.write("stargen.toml", site)
    more = "resources = { nodes = 2, cores = 2 }"
    login.write("campaign.toml", WORK.format(count=3, seconds=0.3, more=more))
    try:
        code, text = login.stargen("up", "campaign.toml", timeout_s=100)
        assert code == 0, text
        Books(login.base / "campaigns" / "far" / "journal").check_complete()
        assert "node cpu-1.0 joined" in text
        assert "node cpu-1.1 joined" in text
        assert wait_for(lambda: not login.processes(), 20.0)
    finally:
        login.sweep()


def test_a_job_that_was_submitted_as_the_master_died_is_found_by_the_next(tmp_path: Path):
    login = Login(tmp_path / "work", "pbs")
    batch = login.base / "batch"
    (batch / "slow").write_text("3")
    try:
        master = login.start("up", "campaign.toml")
        assert wait_for((batch / "job-17").exists, 30)
        os.killpg(master.pid, signal.SIGKILL)
        master.communicate()
        assert wait_for(lambda: not login.processes("qsub"), 20), "its answer is heard by nobody"
        (batch / "slow").unlink()
        code, text = login.stargen("up", "campaign.toml", timeout_s=100)
        assert code == 0, text
        Books(login.base / "campaigns" / "far" / "journal").check_complete()
        assert "allocation cpu-1 (job 17.pbs)" in text
        assert "node cpu-1 joined" in text
        assert "nobody knows" not in text
        assert wait_for(lambda: not login.processes(), 20.0)
    finally:
        login.sweep()


FAR = """\
[master]
heartbeat_s = 1
lost_after_s = 15
lease_s = 60

[pool.cpu]
launcher = "pbs"
folder = "{own}/stargen"
limits = {{ cores = 2, memory_gib = 1, gpus = 0 }}
ssh = {{ config = "{config}" }}

[pool.cpu.batch]
login = "cn1"
walltime = ["00:10:00"]
look_s = 1
"""

LIGHT = """\
[campaign]
name = "far"

[[job]]
name = "make"
use = "echo.source"
params = { count = 12 }

[[job]]
name = "draw"
input = "make"
use = "echo.map"
params = { seconds = 0.1, random = true }
"""


def test_a_batch_system_behind_a_login_host_that_shares_no_disk(hosts: Hosts, tmp_path: Path):
    site = Site(tmp_path / "work", hosts)
    login = hosts.hosts[0]
    found = commands.install("pbs", tmp_path / "batch")
    login.bashrc("".join(f"export {name}='{value}'\n" for name, value in found.items()))
    own = login.folder / "scratch"
    config = hosts.folder / "ssh_config"
    (site.base / "stargen.toml").write_text(FAR.format(own=own, config=config))
    (site.base / "campaign.toml").write_text(LIGHT)
    code, text = site.stargen("up", "campaign.toml", timeout_s=100)
    assert code == 0, text
    assert "node cpu-1 joined" in text
    Books(site.folder / "journal").check_complete()
    assert not list((site.folder / "run").glob("agent-*"))
    assert not (site.folder / "run" / "allocations").exists()
    assert wait_for(lambda: not login.processes(), 20.0)
