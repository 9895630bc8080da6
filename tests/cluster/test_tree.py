"""Hosts that are reached through the first of their group, and what befalls that way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster.hosts import Host, Hosts
from cluster.site import Site
from support.real_campaigns import wait_for

pytestmark = pytest.mark.timeout(180)

GIVEN_UP = "the way through another host is given up for direct logins"
MASTER, FIRST = "10.77.0.1", "10.77.0.11"


@pytest.fixture
def site(tmp_path: Path, hosts: Hosts) -> Site:
    made = Site(tmp_path / "work", hosts)
    config = hosts.folder / "ssh_config"
    onward = f'group = 4, onward = "ssh -F {config}"'
    text = (made.base / "stargen.toml").read_text()
    (made.base / "stargen.toml").write_text(text.replace("ssh = { ", f"ssh = {{ {onward}, "))
    for host in hosts.hosts:
        hosts.kill(host)
        hosts.start(host)
    return made


def logins(host: Host) -> list[str]:
    """From where it has been logged in to since it was booted, in order."""
    lines = (host.folder / "boot.log").read_text().splitlines()
    return [line.split(" from ")[1].split()[0] for line in lines if "Accepted publickey" in line]


def begun(site: Site, count: int) -> bool:
    return wait_for(lambda: sum(site.executions().values()) >= count, 60)


def busy(host: Host) -> bool:
    return any("executing.runner" in line for line in host.processes().values())


def nothing_left(hosts: Hosts) -> bool:
    return wait_for(lambda: not any(host.processes() for host in hosts.hosts if host.pid))


def test_one_login_opens_the_way_to_all(site: Site, hosts: Hosts):
    site.campaign(40, 0.2)
    first, *others = hosts.hosts
    first.bashrc("echo 'Welcome to the cluster!'; echo 'quota: 97 %' >&2\n")
    try:
        code, text = site.stargen("up", "campaign.toml")
    finally:
        first.bashrc("")
    assert code == 0, text
    site.books()
    assert set(site.executions().values()) == {1}
    assert GIVEN_UP not in text
    assert logins(first) == [MASTER]
    assert all(set(logins(host)) == {FIRST} for host in others)
    assert nothing_left(hosts)


def test_a_killed_master_finds_its_agents_by_the_same_way(site: Site, hosts: Hosts):
    site.campaign(60, 0.8)
    master = site.start("up", "campaign.toml")
    assert begun(site, 12)
    assert wait_for(lambda: all(busy(host) for host in hosts.hosts), 30)
    os.killpg(master.pid, signal.SIGKILL)
    master.communicate()
    for host in hosts.hosts:
        assert wait_for(
            lambda h=host: not any("onnode bridge" in line for line in h.processes().values())
        )
    code, text = site.stargen("up", "campaign.toml")
    assert code == 0, text
    site.books()
    assert set(site.executions().values()) == {1}, "nothing is run again"
    assert GIVEN_UP not in text
    assert all(set(logins(host)) == {FIRST} for host in hosts.hosts[1:])
    assert nothing_left(hosts)


def test_where_the_first_host_dies_the_others_are_logged_in_to(site: Site, hosts: Hosts):
    site.campaign(80, 0.8)
    first, *others = hosts.hosts
    master = site.start("up", "campaign.toml")
    assert wait_for(lambda: all(busy(host) for host in hosts.hosts), 60)
    hosts.kill(first)
    text, _ = master.communicate(timeout=120)
    assert master.returncode == 0, text
    site.books()
    twice = [name for name, times in site.executions().items() if times > 1]
    assert len(twice) <= 2, "only what ran on the first host's two cores is run again"
    for host in others:
        assert f"{host.name}: {GIVEN_UP}" in text
        assert f"{host.name} was lost" not in text
        assert MASTER in logins(host)
    assert nothing_left(hosts)


def test_where_the_first_host_was_never_there_the_others_are_logged_in_to(site: Site, hosts: Hosts):
    site.campaign(20, 0.2)
    first, *others = hosts.hosts
    hosts.kill(first)
    code, text = site.stargen("up", "campaign.toml")
    assert code == 0, text
    site.books()
    assert "node cn1: it cannot be reached" in text
    assert all(set(logins(host)) == {MASTER} for host in others)
    assert nothing_left(hosts)


def test_a_host_that_refuses_is_told_as_if_it_stood_alone(site: Site, hosts: Hosts):
    _, shy, down, closed = hosts.hosts
    for host, more in ((shy, f"DenyUsers *@{FIRST}"), (closed, "DenyUsers *")):
        hosts.kill(host)
        hosts.start(host, more)
    hosts.kill(down)
    code, text = site.stargen("nodes", "check", "--json")
    assert code == 1
    rows = {row["node"]: row for row in json.loads(text[text.index("[\n") :])}
    assert rows["cn1"]["problems"] == rows["cn2"]["problems"] == []
    assert "it cannot be reached" in rows["cn3"]["problems"][0]
    assert "it refuses the login" in rows["cn4"]["problems"][0]
    given_up = {line.split(":")[0]: line for line in text.splitlines() if GIVEN_UP in line}
    assert given_up.keys() == {"cn2", "cn3", "cn4"}
    assert "Permission denied" in given_up["cn2"]
    assert set(logins(shy)) == {MASTER}


SENDS = """
import asyncio, hashlib, os, sys
from stargen.config import Ssh
from stargen.launchers.ssh import host_of
from stargen.transport.onward import FirstHost, OnwardHost

async def main(config):
    options = Ssh(config=config, onward=f"ssh -F {config}")
    first = FirstHost(host_of("cn1", options))
    host = OnwardHost("cn2", options, first, lambda: sys.exit("directly"), keepalive_s=5)
    first.use("cn2")
    told = os.urandom(8 * 2**20)
    done = await host.run("md5sum", 60, told)
    await host.close()
    print(done.stdout.split()[0] == hashlib.md5(told).hexdigest())

asyncio.run(main(sys.argv[1]))
"""


def test_what_a_command_is_told_arrives_whole(site: Site, hosts: Hosts):
    said = hosts.in_hub(sys.executable, "-c", SENDS, hosts.folder / "ssh_config")
    assert said.split() == ["True"]
    assert site.processes() == []


def test_the_systems_ssh_leads_on_as_well(site: Site, hosts: Hosts):
    settings = (site.base / "stargen.toml").read_text()
    (site.base / "stargen.toml").write_text(
        settings.replace("ssh = { ", 'ssh = { client = "openssh", ').replace("[1-4]", "[1-2]")
    )
    site.campaign(20, 0.1)
    code, text = site.stargen("up", "campaign.toml")
    assert code == 0, text
    site.books()
    assert GIVEN_UP not in text
    assert set(logins(hosts.hosts[1])) == {FIRST}
    assert nothing_left(hosts)


@pytest.fixture
def key_agent(tmp_path: Path, hosts: Hosts) -> Iterator[Path]:
    """Socket of an ssh-agent that holds the key to all hosts."""
    path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as agent:
        assert wait_for(path.is_socket)
        environ = {**os.environ, "SSH_AUTH_SOCK": str(path)}
        subprocess.run(["ssh-add", "-q", hosts.folder / "id"], env=environ, check=True)
        yield path
        agent.terminate()


def test_the_key_of_the_user_goes_along_where_ssh_config_says_so(
    site: Site, hosts: Hosts, key_agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSH_AUTH_SOCK", str(key_agent))
    theirs, mine = hosts.folder / "ssh_config", tmp_path / "mine"
    keyless = theirs.read_text().replace(f"IdentityFile {hosts.folder}/id", "IdentityFile none")
    onward = tmp_path / "onward"
    onward.write_text(keyless.replace("IdentitiesOnly yes", "IdentitiesOnly no"))
    settings = (site.base / "stargen.toml").read_text()
    settings = settings.replace(f"-F {theirs}", f"-F {onward}").replace(str(theirs), str(mine))
    (site.base / "stargen.toml").write_text(settings)
    for forwards in ("yes", "no"):
        mine.write_text(f"ForwardAgent {forwards}\n{theirs.read_text()}")
        code, text = site.stargen("nodes", "check")
        assert code == 0, text
        assert text.count(GIVEN_UP) == (0 if forwards == "yes" else 3), text
