"""Ways to reach hosts, and what is said where they cannot be reached."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from cluster.hosts import Hosts
from cluster.site import Site
from support.real_campaigns import wait_for

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def site(tmp_path: Path, hosts: Hosts) -> Site:
    made = Site(tmp_path / "work", hosts)
    made.campaign(12, 0.01)
    return made


def pools(site: Site, text: str) -> None:
    config = site.hosts.folder / "ssh_config"
    (site.base / "stargen.toml").write_text(textwrap.dedent(text).replace("CONFIG", str(config)))


def test_the_systems_ssh_does_as_well(site: Site):
    pools(site, """\
        [pool.far]
        launcher = "ssh"
        hosts = ["cn1"]
        ssh = { config = "CONFIG", client = "openssh" }
        limits = { cores = 2, memory_gib = 2, gpus = 0 }
    """)  # fmt: skip
    code, text = site.stargen("up", "campaign.toml")
    assert code == 0, text
    site.books()


def test_hosts_that_share_no_disk_keep_files_in_a_folder_of_their_own(site: Site, tmp_path: Path):
    cn2 = site.hosts.hosts[1]
    own = cn2.folder / "scratch"
    (site.base / "campaign.toml").write_text(
        "[campaign]\nname = 'far'\n[[job]]\nname = 'make'\nuse = 'echo.source'\n"
        "[[job]]\nname = 'draw'\ninput = 'make'\nuse = 'echo.map'\nparams = { seconds = 0.02 }\n"
    )
    pools(site, f"""\
        [pool.far]
        launcher = "ssh"
        hosts = ["cn2"]
        folder = "{own}/stargen"
        ssh = {{ config = "CONFIG" }}
        limits = {{ cores = 2, memory_gib = 2, gpus = 0 }}
    """)  # fmt: skip
    master = site.start("up", "campaign.toml")
    text, _ = master.communicate(timeout=60)
    assert master.returncode == 0, text
    inside = ["nsenter", "-t", str(cn2.pid), "-a", "ls", f"{own}/stargen"]
    listed = subprocess.run(inside, capture_output=True, text=True).stdout
    assert listed.startswith("far-")
    assert not list((site.folder / "run").glob("agent-*"))


def test_an_unknown_host_key_is_refused_until_it_is_trusted(site: Site):
    known = site.hosts.folder / "known_hosts"
    kept = known.read_text()
    try:
        known.write_text("")
        code, text = site.stargen("nodes", "check")
        assert code == 1, text
        assert "its host key is not known here" in text
        assert "stargen nodes trust cn1" in text

        config = ("--config", str(site.base / "stargen.toml"))
        code, text = site.stargen("nodes", "trust", "cn[1-4]", *config, "--yes")
        assert code == 0, text
        assert text.count("SHA256:") == text.count("stored in") == 4
        code, text = site.stargen("nodes", "check")
        assert code == 0, text
        assert "known already" in site.stargen("nodes", "trust", "cn1", "--yes")[1]

        other = (site.hosts.hosts[1].folder / "host_key.pub").read_text().split()[1]
        mine = (site.hosts.hosts[0].folder / "host_key.pub").read_text().split()[1]
        known.write_text(known.read_text().replace(mine, other))
        code, text = site.stargen("nodes", "trust", "cn1", "--yes")
        assert code == 2
        assert "shows another" in text
        assert "cn1: its host key is not known here" in site.stargen("nodes", "check")[1]
    finally:
        known.write_text(kept)


def test_a_key_that_the_host_does_not_take_is_said(site: Site, tmp_path: Path):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True
    )
    pools(site, f"""\
        [pool.far]
        launcher = "ssh"
        hosts = ["cn1"]
        ssh = {{ config = "CONFIG", identity = "{tmp_path}/other" }}
    """)  # fmt: skip
    code, text = site.stargen("nodes", "check")
    assert code == 1, text
    assert "it refuses the login" in text
    code, text = site.stargen("up", "campaign.toml")
    assert code == 2
    assert "it refuses the login" in text


def test_the_check_tells_what_hinders_each_node(site: Site, tmp_path: Path):
    gone = site.hosts.hosts[3]
    site.hosts.kill(gone)
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    pools(site, f"""\
        [pool.good]
        launcher = "ssh"
        hosts = ["cn1"]
        ssh = {{ config = "CONFIG" }}
        limits = {{ cores = 1, memory_gib = 1, gpus = 0 }}

        [pool.bare]
        launcher = "ssh"
        hosts = ["cn2"]
        interpreter = "{bare}/bin/python"
        ssh = {{ config = "CONFIG" }}

        [pool.none]
        launcher = "ssh"
        hosts = ["cn3"]
        interpreter = "/nowhere/python"
        scratch = "/nowhere"
        ssh = {{ config = "CONFIG" }}

        [pool.gone]
        launcher = "ssh"
        hosts = ["cn4"]
        ssh = {{ config = "CONFIG" }}
    """)  # fmt: skip
    code, text = site.stargen("nodes", "check")
    assert code == 1, text
    assert "cn2: " in text
    assert "has no Star-gen" in text
    assert "cn3: there is no /nowhere/python on it" in text
    assert "cn4: it cannot be reached" in text
    code, text = site.stargen("nodes", "check", "--json")
    rows = {row["node"]: row for row in json.loads(text)}
    assert rows["cn1"]["problems"] == []
    assert rows["cn1"]["report"]["host"] == "cn1"
    assert rows["cn1"]["report"]["cores"] == 1
    assert rows["cn1"]["report"]["shared"]


def test_a_running_campaign_lists_and_drains_its_nodes(site: Site):
    site.campaign(300, 0.4)
    master = site.start("up", "campaign.toml")
    assert wait_for(lambda: bool(site.executions()), 30)
    config = ("--campaign", "far")
    assert site.stargen("nodes", "drain", "cn1", *config)[0] == 0
    code, text = site.stargen("nodes", "list", *config)
    assert code == 0
    assert "cn1" in text
    assert "draining" in text
    code, text = site.stargen("nodes", "drain", "cn9", *config)
    assert code == 2
    assert "there is no node cn9" in text
    code, text = site.stargen("nodes", "undrain", "cn1", *config)
    assert code == 0, text
    text, _ = master.communicate(timeout=90)
    assert master.returncode == 0, text
    site.books()


def test_nodes_come_and_go_while_a_campaign_runs(site: Site):
    text = (site.base / "stargen.toml").read_text()
    (site.base / "stargen.toml").write_text(text.replace("cn[1-4]", "cn[1-2]"))
    site.campaign(300, 0.5)
    master = site.start("up", "campaign.toml")
    config = ("--campaign", "far")
    assert wait_for(lambda: bool(site.executions()), 60)
    code, text = site.stargen("nodes", "add", "cn[3-4]", "--pool", "far", *config)
    assert code == 0, text
    assert "asked to use cn4" in text
    code, text = site.stargen("nodes", "add", "cn3", "--pool", "far", *config)
    assert code == 2
    assert "there is a node cn3 already" in text
    assert (
        "there is no pool near" in site.stargen("nodes", "add", "x", "--pool", "near", *config)[1]
    )

    def busy(name: str) -> bool:
        host = next(host for host in site.hosts.hosts if host.name == name)
        return any("executing.runner" in line for line in host.processes().values())

    assert wait_for(lambda: busy("cn3") and busy("cn4"), 60)
    assert site.stargen("nodes", "remove", "cn3", *config)[0] == 0, "it has hardly begun"
    gone = site.hosts.hosts[2]
    assert wait_for(lambda: not gone.processes(), 60)
    code, text = site.stargen("nodes", "add", "cn3", "--pool", "far", *config)
    assert code == 0, text
    assert wait_for(lambda: busy("cn3"), 60), "who was removed may come back"
    text, _ = master.communicate(timeout=120)
    assert master.returncode == 0, text
    site.books()
    assert set(site.executions().values()) == {1}, "what ran on the removed node was finished there"
