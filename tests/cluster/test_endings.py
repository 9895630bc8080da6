"""What is left on hosts when a campaign, an agent or a lease ends there: nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from cluster.hosts import Hosts
from cluster.site import Site
from support.real_campaigns import kill, wait_for

pytestmark = pytest.mark.timeout(180)

SLEEPS = """\
[campaign]
name = "far"

[[job]]
name = "make"
use = "echo.source"
params = { count = 8 }

[[job]]
name = "sleep"
input = "make"
use = "exec.run"
params = { argv = ["sh", "-c", "sleep 7777 & if mkdir SEEN/{id} 2>/dev/null; then wait; fi"] }
grain = 1
"""
"""Each program leaves its group a child; the first time it also lives for ever."""


def sleepers(hosts: Hosts) -> dict[int, str]:
    return {
        pid: line
        for host in hosts.hosts
        for pid, line in host.processes().items()
        if line.startswith("sleep 7777")
    }


def nothing_left(hosts: Hosts) -> bool:
    return wait_for(lambda: not any(host.processes() for host in hosts.hosts if host.pid), 20)


@pytest.mark.slow
def test_down_leaves_no_process_and_a_campaign_to_go_on_with(tmp_path: Path, hosts: Hosts):
    site = Site(tmp_path / "work", hosts)
    site.campaign(60, 0.3)
    master = site.start("up", "campaign.toml")
    assert wait_for(lambda: sum(site.executions().values()) > 8, 30)
    assert site.stargen("down", "--campaign", "far")[0] == 0
    master.communicate(timeout=60)
    assert nothing_left(hosts)
    code, text = site.stargen("up", "campaign.toml")
    assert code == 0, text
    site.books()
    assert nothing_left(hosts)


@pytest.mark.slow
def test_a_killed_agent_leaves_no_program_behind(tmp_path: Path, hosts: Hosts):
    site = Site(tmp_path / "work", hosts)
    (site.base / "seen" / "make").mkdir(parents=True)
    (site.base / "campaign.toml").write_text(SLEEPS.replace("SEEN", f"{site.base}/seen"))
    master = site.start("up", "campaign.toml")
    assert wait_for(lambda: len(sleepers(hosts)) >= 8, 30)
    before = set(sleepers(hosts))
    for host in hosts.hosts:
        for pid, line in host.processes().items():
            if "stargen.executing.agent" in line:
                kill(pid)
    assert wait_for(lambda: not before & set(sleepers(hosts)), 40), "their successors end them"
    text, _ = master.communicate(timeout=90)
    assert master.returncode == 0, text
    assert nothing_left(hosts)


def test_agents_without_a_master_end_with_their_lease(tmp_path: Path, hosts: Hosts):
    site = Site(tmp_path / "work", hosts, lost_after_s=3, lease_s=8)
    site.campaign(40, 0.5)
    master = site.start("up", "campaign.toml")
    assert wait_for(lambda: sum(site.executions().values()) > 8, 30)
    os.killpg(master.pid, signal.SIGKILL)
    master.communicate()
    begun = site.executions()
    assert any(host.processes() for host in hosts.hosts)
    assert nothing_left(hosts), "the lease is over"
    spools = list(site.folder.glob("run/agent-*/spool/*"))
    assert any(path.stat().st_size for path in spools), "results wait for the next master"

    code, text = site.stargen("up", "campaign.toml")
    assert code == 0, text
    site.books()
    again = {name for name, times in site.executions().items() if times > 1}
    assert not again & begun.keys(), "what was finished alone is not run again"
    assert nothing_left(hosts)
