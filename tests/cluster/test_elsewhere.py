"""A master on another machine that shares the campaign's folder: asked and ended from here."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import commands
from cluster.batch import SITE, WORK
from cluster.hosts import Host, Hosts, run
from cluster.site import Site
from support.real_campaigns import wait_for

pytestmark = pytest.mark.timeout(180)


def start_on(host: Host, site: Site, more: dict[str, str], *words: str) -> subprocess.Popen[str]:
    """`stargen WORDS` on another host."""
    command = shlex.join([sys.executable, "-m", "stargen.cli", *words])
    return subprocess.Popen(
        ["nsenter", "-t", str(host.pid), "-a", "bash", "-c", f"cd {site.base} && exec {command}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=site.environment() | more,
        text=True,
        start_new_session=True,
    )


def test_status_explain_and_down_reach_a_master_on_another_machine(hosts: Hosts, tmp_path: Path):
    site = Site(tmp_path / "work", hosts)
    far = hosts.hosts[0]
    sockets = Path(f"/tmp/stargen-{os.getuid()}")
    sockets.mkdir(mode=0o700, exist_ok=True)
    private = ("mount", "-t", "tmpfs", "-o", "mode=0700", "none", sockets)
    run("nsenter", "-t", str(far.pid), "-m", *private)  # as on another machine
    found = commands.install("pbs", tmp_path / "batch")
    site.write("stargen.toml", SITE.replace('"slurm"', '"pbs"'))
    site.write("campaign.toml", WORK.format(count=60, seconds=1.0, more=""))
    master = start_on(far, site, found, "up", "campaign.toml")
    try:
        assert wait_for(lambda: len(site.begun()) > 2, 60)
        code, text = site.stargen("status", "--campaign", "far", "--json")
        assert code == 0, text
        picture = json.loads(text)
        assert picture["state"] == "running"
        assert picture["allocations"]
        code, text = site.stargen("explain", "long", "--campaign", "far")
        assert code == 0, text
        code, text = site.stargen("up", "campaign.toml")
        assert code == 2, text
        assert "cn1" in text, "who holds the campaign"
        code, text = site.stargen("down", "--campaign", "far", "--now")
        assert code == 0, text
        text, _ = master.communicate(timeout=60)
        assert wait_for(lambda: not far.processes(), 30)
        code, text = site.stargen("status", "--campaign", "far", "--json")
        assert json.loads(text)["state"] == "interrupted"
    finally:
        site.sweep()
