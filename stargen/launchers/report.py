"""What a node is like, as it sees itself; and what of that would hinder a campaign."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stargen.calculators.registry import GROUPS, Registry
from stargen.config import Pool, node_resources
from stargen.launchers.trying import Trial, try_all
from stargen.machine import this_machine
from stargen.version import __version__

SKEW_S = 5.0
"""Clocks further apart than this make the times in logs misleading."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What a node says of itself.

    Parameters
    ----------
    wall_s : its clock, seconds of UNIX time
    scratch : where folders of tasks will lie; empty if nothing can be written there
    shared : whether it sees the file that the master has just written
    plugins : {distribution: version} of what brings calculators there
    commands : those of the pool's commands whose program is not there
    trials : {calculator: what is wrong with it there} of those that were tried
    """

    host: str
    python: str
    version: str
    wall_s: float
    cores: int
    memory_gib: float
    gpus: float
    scratch_gib: float
    scratch: str
    shared: bool
    plugins: Mapping[str, str]
    commands: Sequence[str] = ()
    trials: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])


def report_here(settings: Pool, token: Path, trials: Sequence[Trial] = ()) -> NodeReport:
    """The report of this machine.

    Parameters
    ----------
    token : what the master wrote into a folder to be shared
    trials : what is to be tried here
    """
    scratch = Path(settings.scratch or tempfile.gettempdir())
    writable = scratch.is_dir() and os.access(scratch, os.W_OK)
    has = node_resources(settings.limits, this_machine(scratch if writable else None))
    listed = [each for group in GROUPS for each in Registry.installed().listing(group)]
    return NodeReport(
        host=socket.gethostname(),
        python=platform.python_version(),
        version=__version__,
        wall_s=time.time(),
        cores=has.cores,
        memory_gib=has.memory_gib,
        gpus=has.gpus,
        scratch_gib=has.scratch_gib,
        scratch=str(scratch) if writable else "",
        shared=token.is_file(),
        plugins={each.distribution: each.version for each in listed},
        commands=[name for name, text in settings.commands.items() if not _is_here(text)],
        trials=try_all(trials),
    )


def _is_here(command: str) -> bool:
    """Whether the program of a command can be found, as far as its first word says."""
    word = next(iter(shlex.split(command)), "")
    return not word or "=" in word or "{" in word or shutil.which(word) is not None


def hindrances(there: NodeReport, here: NodeReport, settings: Pool, asked_s: float) -> list[str]:
    """What is wrong with a node, seen from the master, in words; nothing if all is well.

    Parameters
    ----------
    here : this machine's own report, made after the node's had come
    asked_s : when the node was asked, UNIX time; it looked at its clock some time in between
    """
    found: list[str] = []
    if there.version != here.version:
        found.append(f"it has Star-gen {there.version}, this machine {here.version}")
    lacking = sorted(here.plugins.keys() - there.plugins.keys())
    if lacking and not there.trials and not settings.bootstrap:
        found.append(f"not installed there: {', '.join(lacking)}")
    found += [
        f"{name} is {there.plugins[name]} there and {version} here"
        for name, version in sorted(here.plugins.items())
        if there.plugins.get(name, version) != version and name != "stargen"
    ]
    ahead_s, behind_s = there.wall_s - here.wall_s, asked_s - there.wall_s
    if max(ahead_s, behind_s) > SKEW_S:
        where = f"{ahead_s:.0f} s ahead" if ahead_s > behind_s else f"{behind_s:.0f} s behind"
        found.append(f"its clock is {where}")
    if not there.scratch:
        place = settings.scratch or "the folder for temporary files"
        found.append(f"{place} is no folder that can be written to")
    if not there.shared and settings.folder is None:
        found.append(
            "it does not see this working directory; set `folder` of its pool to a place of its own"
        )
    found += [f"its command {name} is no program there" for name in there.commands]
    found += [f"{use}: {each}" for use, problems in there.trials.items() for each in problems]
    return found
