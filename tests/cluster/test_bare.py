"""Hosts whose Python has no Star-gen, and hosts that lack something else that a campaign needs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import commands
from cluster.hosts import Host, Hosts, run
from cluster.site import Site
from cluster.test_batch_systems import FAR, LIGHT
from support.checker import Books
from support.real_campaigns import wait_for

pytestmark = pytest.mark.timeout(300)

POOL = """\
[master]
heartbeat_s = 1
lost_after_s = 15
lease_s = 60

[pool.far]
launcher = "ssh"
hosts = ["cn[1-2]"]
folder = "/mnt/stargen"
interpreter = "{python}"
ssh = {{ config = "{config}" }}
limits = {{ cores = 1, memory_gib = 1, gpus = 0 }}
"""

WORK = (
    LIGHT
    + """
[[job]]
name = "again"
input = "draw"
use = "nasty.draw"
"""
)

LOOK = """\
[campaign]
name = "look"

[[job]]
name = "make"
use = "echo.source"
params = {{ count = 1 }}

[[job]]
name = "look"
input = "make"
use = "nasty.table"
params = {{ table = "{data}/table.txt", folder = "{data}" }}
"""


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A Python with nothing but its standard library."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    return tmp_path / "bare" / "bin" / "python"


@pytest.fixture
def site(tmp_path: Path, hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path / "work", hosts)
    cache = tmp_path.parent / "cache"  # packed once for all tests of a run
    monkeypatch.setattr(made, "environment", lambda: environment(Site.environment(made), cache))
    return made


def environment(usual: dict[str, str], cache: Path) -> dict[str, str]:
    return usual | {"XDG_CACHE_HOME": str(cache)}


def there(host: Host, *words: str | Path) -> list[str]:
    return run("nsenter", "-t", str(host.pid), "-m", *words, check=False).splitlines()


def brought(host: Host) -> dict[str, str]:
    """{piece: when it was put there}."""
    lines = there(host, "find", "/mnt/stargen/packages/pieces", "-mindepth", "1", "-maxdepth", "1",
                  "-not", "-name", "*.tmp", "-printf", "%f %C@\n")  # fmt: skip
    return dict(line.split() for line in lines)


def test_bare_hosts_are_given_all_that_a_campaign_needs(site: Site, hosts: Hosts, bare: Path):
    pair = hosts.hosts[:2]
    for host in pair:
        there(host, "mount", "-t", "tmpfs", "none", "/mnt")
    plain = POOL.format(python=bare, config=hosts.folder / "ssh_config")
    (site.base / "campaign.toml").write_text(WORK)
    (site.base / "stargen.toml").write_text(plain)
    assert "cn1: " + f"{bare} there has no Star-gen" in site.stargen("nodes", "check")[1]

    given = plain.replace("[pool.far]\n", '[pool.far]\nbootstrap = ["stargen-nasty"]\n')
    (site.base / "stargen.toml").write_text(given)
    check = site.start("nodes", "check", "campaign.toml")
    assert wait_for(lambda: any(len(brought(host)) > 4 for host in pair), 120)
    os.killpg(check.pid, signal.SIGKILL)
    check.communicate()
    (first,) = [host for host in pair if brought(host)]
    before = brought(first)

    code, text = site.stargen("nodes", "check", "campaign.toml", timeout_s=150)
    assert code == 0, text
    assert before.items() <= brought(first).items(), "what had come did not come again"
    assert not there(first, "ls", "/mnt/stargen/packages/parts")
    all_of_it = [brought(host) for host in pair]
    assert all_of_it[0].keys() == all_of_it[1].keys()

    code, text = site.stargen("up", "campaign.toml")
    assert code == 0, text
    Books(site.folder / "journal").check_complete()
    for host, was in zip(pair, all_of_it, strict=True):
        assert was.items() <= brought(host).items(), "nothing goes there twice"
    assert wait_for(lambda: not any(host.processes() for host in pair))

    code, text = site.stargen("nodes", "clean")
    assert code == 0, text
    assert text.count("MB are free again") == 2
    assert not any("packages" in there(host, "ls", "/mnt/stargen") for host in pair)


def test_allocations_run_from_what_was_brought_to_their_login_host(
    site: Site, hosts: Hosts, bare: Path, tmp_path: Path
):
    login = hosts.hosts[0]
    found = commands.install("pbs", tmp_path / "batch")
    login.bashrc("".join(f"export {name}='{value}'\n" for name, value in found.items()))
    text = FAR.format(own=login.folder / "scratch", config=hosts.folder / "ssh_config")
    more = f'[pool.cpu]\nbootstrap = ["stargen"]\ninterpreter = "{bare}"\n'
    (site.base / "stargen.toml").write_text(text.replace("[pool.cpu]\n", more))
    (site.base / "campaign.toml").write_text(LIGHT)
    try:
        code, said = site.stargen("nodes", "check", timeout_s=120)
        assert code == 0, said
        code, said = site.stargen("up", "campaign.toml", timeout_s=120)
        assert code == 0, said
        Books(site.folder / "journal").check_complete()
        assert wait_for(lambda: not login.processes(), 20.0)
        assert "MB are free again" in site.stargen("nodes", "clean")[1]
    finally:
        login.bashrc("")


def test_what_one_node_lacks_is_said_of_that_node_before_anything_starts(
    site: Site, hosts: Hosts, tmp_path: Path
):
    data = tmp_path / "data"
    data.mkdir()
    (data / "table.txt").write_text("1 2 3")
    (site.base / "campaign.toml").write_text(LOOK.format(data=data))
    there(hosts.hosts[2], "mount", "-t", "tmpfs", "none", data)
    code, text = site.stargen("nodes", "check", "campaign.toml", "--json", timeout_s=150)
    assert code == 1, text
    rows = {row["node"]: row["problems"] for row in json.loads(text)}
    assert rows.keys() == {"cn1", "cn2", "cn3", "cn4"}
    (problem,) = rows.pop("cn3")
    assert problem.startswith("nasty.table: ")
    assert f"{data}/table.txt" in problem
    assert not any(rows.values()), rows
    assert site.stargen("nodes", "check")[0] == 0
