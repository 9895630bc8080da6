"""A site of such hosts, and somebody who types `stargen ...` on its login node."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from cluster.hosts import Hosts
from support.checker import Books
from support.real_campaigns import Marked

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

WORK = """\
[campaign]
name = "far"
seed = 5
database = "sqlite:///far.db"

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


class Site(Marked):
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

    @property
    def folder(self) -> Path:
        return self.base / "campaigns" / "far"

    def start(self, *words: str) -> subprocess.Popen[str]:
        return self.hosts.popen(
            [sys.executable, "-m", "stargen.cli", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment(),
            cwd=self.base,
            start_new_session=True,
        )

    def stargen(self, *words: str, timeout_s: float = 90.0) -> tuple[int, str]:
        """`stargen WORDS`: its exit code, and all that it printed."""
        process = self.start(*words)
        try:
            text, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.sweep()
            text, _ = process.communicate()
            raise AssertionError(f"stargen {' '.join(words)} did not end:\n{text}") from None
        return process.returncode, text

    def executions(self) -> Counter[str]:
        """How often the long task of each candidate was begun."""
        log = self.base / "executions"
        lines = log.read_text().splitlines() if log.exists() else []
        return Counter(line.split()[1] for line in lines)

    def books(self) -> Books:
        """What came of it, checked: every candidate once, in journal and database."""
        books = Books(self.folder / "journal")
        books.check_complete()
        books.check_keyed("one-of-each", 1)
        books.check_database(self.base / "far.db")
        return books
