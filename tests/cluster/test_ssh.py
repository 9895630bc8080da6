"""Campaigns over hosts that are reached by SSH, and what befalls such hosts."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from cluster.hosts import Host, Hosts
from cluster.site import Site
from support.checker import Books, same_contents
from support.real_campaigns import Desk, wait_for

pytestmark = pytest.mark.timeout(180)

NOISE = "echo 'Welcome to the cluster!'; echo 'quota: 97 %' >&2; sleep 0.7\n"


@pytest.fixture
def site(tmp_path: Path, hosts: Hosts) -> Site:
    return Site(tmp_path / "work", hosts)


def undisturbed(base: Path, site: Site) -> Books:
    """The same campaign on this machine."""
    desk = Desk(base)
    desk.write(
        "campaign.toml",
        (site.base / "campaign.toml").read_text().replace("seconds = 0.8", "seconds = 0"),
    )
    code, text = desk.stargen("up", "campaign.toml")
    assert code == 0, text
    return Books(base / "campaigns" / "far" / "journal")


def agents_of(hosts: Hosts) -> set[int]:
    """The agents on all hosts; a process that was just forked looks like its parent for a while."""

    def now() -> set[int]:
        running = {pid: line for host in hosts.hosts for pid, line in host.processes().items()}
        return {pid for pid, line in running.items() if "stargen.executing.agent" in line}

    before = now()
    time.sleep(0.5)
    return before & now()


def nothing_left(hosts: list[Host]) -> bool:
    return wait_for(lambda: not any(host.processes() for host in hosts if host.pid))


def test_a_campaign_survives_what_hosts_do(site: Site, hosts: Hosts, tmp_path: Path):
    cut, killed, frozen, odd = hosts.hosts
    odd.bashrc(NOISE)
    hosts.kill(odd)
    hosts.start(odd, "AllowStreamLocalForwarding no")
    site.campaign(300, 0.8)
    master = site.start("up", "campaign.toml")
    assert wait_for(lambda: sum(site.executions().values()) > 24, 30)
    assert all(wait_for(lambda h=host: bool(h.processes())) for host in hosts.hosts)

    before = {host.name: set(host.processes()) for host in (cut, frozen, odd)}
    hosts.cut(cut)
    hosts.freeze(frozen)
    begun = site.executions()
    hosts.kill(killed)
    time.sleep(8)
    hosts.thaw(frozen)
    time.sleep(12)
    hosts.heal(cut)
    text, _ = master.communicate(timeout=120)
    assert master.returncode == 0, text

    alone = undisturbed(tmp_path / "alone", site)
    same_contents(site.books(), alone, "make", "draw", "long", "walk")
    twice = {name for name, times in site.executions().items() if times > 1}
    assert len(twice) <= 2, "only what ran on the killed host's two cores is run again"
    assert twice <= begun.keys()
    for host in (cut, frozen, odd):
        assert f"{host.name} was lost" not in text
        assert before[host.name]
    assert nothing_left(hosts.hosts)


def test_a_killed_master_finds_its_agents_and_their_tasks(site: Site, hosts: Hosts):
    site.campaign(60, 0.8)
    master = site.start("up", "campaign.toml")
    assert wait_for(lambda: sum(site.executions().values()) > 16, 30)
    agents = agents_of(hosts)
    assert len(agents) == 4
    os.killpg(master.pid, signal.SIGKILL)
    master.communicate()
    assert agents <= agents_of(hosts)
    code, text = site.stargen("up", "campaign.toml")
    assert code == 0, text
    site.books()
    assert set(site.executions().values()) == {1}, "nothing is run again"
    assert nothing_left(hosts.hosts)
