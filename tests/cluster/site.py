"""A site of such hosts, and somebody who types `stargen ...` on its login node."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from cluster.far import HEAD, Far
from cluster.hosts import Hosts
from support.checker import Books

SITE = """\
[master]
heartbeat_s = 1
lost_after_s = {lost_after_s}
lease_s = {lease_s}

[pool.far]
launcher = "ssh"
hosts = ["cn[1-4]"]
ssh = {{ config = "{config}" }}

[pool.far.limits]
cores = 2
memory_gib = 2
gpus = 0
"""

WORK = (
    HEAD
    + """
[[job]]
name = "make"
use = "echo.source"
params = {{ count = {count} }}

[[job]]
name = "draw"
input = "make"
use = "echo.map"
params = {{ random = true }}

[[job]]
name = "long"
input = "draw"
use = "nasty.long"
params = {{ seconds = {seconds}, log = "executions" }}
grain = 1

[[job]]
name = "walk"
input = "draw"
use = "nasty.walk"
params = {{ steps = 4, seconds = 0.05, log = "steps" }}
resources = {{ cores = 0, io = 1 }}
grain = 1

[[job]]
name = "one-of-each"
input = "long"
use = "echo.keyed"
"""
)


class Site(Far):
    """A working directory on the login node."""

    def __init__(
        self, base: Path, hosts: Hosts, *, lost_after_s: float = 30.0, lease_s: float = 120.0
    ) -> None:
        super().__init__(base)
        self.hosts = hosts
        for host in hosts.hosts:
            if not host.pid:
                hosts.start(host)
        config = hosts.folder / "ssh_config"
        text = SITE.format(config=config, lost_after_s=lost_after_s, lease_s=lease_s)
        (base / "stargen.toml").write_text(text)

    def campaign(self, count: int, seconds: float) -> None:
        (self.base / "campaign.toml").write_text(WORK.format(count=count, seconds=seconds))

    def start(self, *words: str, module: str = "stargen.cli") -> subprocess.Popen[str]:
        return self.hosts.popen(
            [sys.executable, "-m", module, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment(),
            cwd=self.base,
            start_new_session=True,
        )

    def executions(self) -> Counter[str]:
        """How often the long task of each candidate was begun."""
        return Counter(self.begun())

    def books(self) -> Books:
        books = super().books()
        books.check_keyed("one-of-each", 1)
        return books
