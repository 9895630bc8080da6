"""A login node of a cluster with a batch system, and somebody who types `stargen ...` there."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from cluster.far import HEAD, Far
from cluster.slurm import Slurm
from support.real_campaigns import wait_for

SITE = """\
[master]
heartbeat_s = 1
lost_after_s = 15
lease_s = 60

[pool.cpu]
launcher = "slurm"
limits = { cores = 2, memory_gib = 1, gpus = 0 }

[pool.cpu.batch]
partition = "debug"
walltime = ["00:10:00"]
max_nodes = 4
worth_s = 2
idle_s = 3
look_s = 1
"""

WORK = (
    HEAD
    + """
[[job]]
name = "make"
use = "echo.source"
params = {{ count = {count} }}

[[job]]
name = "long"
input = "make"
use = "nasty.long"
params = {{ seconds = {seconds}, log = "executions" }}
grain = 1
{more}
"""
)


class Login(Far):
    """A working directory on the login node."""

    def __init__(self, base: Path, slurm: Slurm) -> None:
        super().__init__(base)
        self.slurm = slurm
        self.site()

    def environment(self) -> dict[str, str]:
        return super().environment() | self.slurm.environment()

    def site(self, **changed: str) -> None:
        """The site file, with other values for some keys."""
        lines = SITE.splitlines()
        for key, value in changed.items():
            at = [i for i, line in enumerate(lines) if line.startswith(f"{key} =")]
            lines[at[0] if at else len(lines) : at[0] + 1 if at else len(lines)] = [
                f"{key} = {value}"
            ]
        self.write("stargen.toml", "\n".join(lines) + "\n")

    def campaign(self, count: int, seconds: float, more: str = "") -> None:
        text = WORK.format(count=count, seconds=seconds, more=textwrap.dedent(more))
        self.write("campaign.toml", text)

    def picture(self) -> dict[str, Any]:
        """What `stargen status --json` prints."""
        code, text = self.stargen("status", "--campaign", "far", "--json")
        assert code == 0, text
        return json.loads(text)

    def allocations(self) -> dict[str, str]:
        """{allocation: state}."""
        return {each["name"]: each["state"] for each in self.picture()["allocations"]}

    def explain(self, target: str = "long") -> str:
        code, text = self.stargen("explain", target, "--campaign", "far")
        assert code == 0, text
        return text

    def nothing_left(self) -> bool:
        """Whether neither the queue nor any process knows of the campaign any more."""
        return wait_for(lambda: not self.slurm.jobs() and not self.processes(), 20.0)
