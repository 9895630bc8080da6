"""The site file, stargen.toml: which nodes there are, how to reach them and what they may give.

It is looked for in the site's, then the user's configuration folder, then in the working directory
(or where ``--config`` says); each adds to those before and overrides them key by key. Without any,
the one pool is this machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from stargen.errors import ConfigError, UserError
from stargen.hosts import expand
from stargen.model import Resources
from stargen.toml import Document, read_document
from stargen.typed import Bounds, Reader, raise_problems

FILE_NAME = "stargen.toml"
_SCRATCH_UNKNOWN_GIB = float(2**20)
"""More than anybody asks for: a node's disk is not known before an agent has seen it."""

Positive = Annotated[float, Bounds(above=0)]
Amount = Annotated[float, Bounds(least=0)]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one node of a pool may give to tasks; what is left out is what the node has.

    Parameters
    ----------
    cores : CPU cores
    memory_gib : memory in GiB
    gpus : GPUs
    scratch_gib : space for the folders of tasks, GiB
    shared_gib : room on the RAM disk for data that tasks share; a quarter of what is free there
    io : how many tasks that mostly read and write may run at once
    custom : resources that tasks may name, and how much there is (licences, for instance)
    """

    cores: Annotated[int, Bounds(least=1)] | None = None
    memory_gib: Positive | None = None
    gpus: Annotated[int, Bounds(least=0)] | None = None
    scratch_gib: Amount | None = None
    shared_gib: Amount | None = None
    io: Annotated[int, Bounds(least=0)] = 4
    custom: Mapping[str, Amount] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Ssh:
    """How hosts are reached by SSH, where the user's ssh_config does not say it.

    Parameters
    ----------
    config : ssh_config file to read; the user's own by default
    user, port, identity : override ssh_config
    jump : host to go through, as ProxyJump has it
    client : "asyncssh", or "openssh" for the system's ssh command: where logins need a second
        factor and a ControlMaster holds the door open
    forward : False where the site forbids to forward UNIX sockets; found out if not said
    connect_s : seconds that a login may take
    group : so many hosts are reached through the first of them, where hosts may log in to each
        other; all directly if 1. At most two fewer than MaxSessions of its sshd
    onward : the command by which that one logs in to the others
    """

    config: str | None = None
    user: str | None = None
    port: Annotated[int, Bounds(least=1)] | None = None
    identity: str | None = None
    jump: str | None = None
    client: Literal["asyncssh", "openssh"] = "asyncssh"
    forward: bool = True
    connect_s: Positive = 30.0
    group: Annotated[int, Bounds(least=1)] = 1
    onward: str = "ssh"


Count = Annotated[int, Bounds(least=1)]


@dataclass(frozen=True, slots=True)
class Batch:
    """What is asked of a batch system, and how much of it at most.

    Parameters
    ----------
    account, partition, qos : whom it counts for and where it queues, by the site's names
    walltime : how long allocations last, "HH:MM:SS"; of several the shortest that the work fits in
    nodes : how many nodes one allocation has
    max_nodes : so many nodes are asked for at once, those that wait in the queue included
    max_queued : so many allocations wait in the queue at once
    worth_s : seconds of work that each slot of a new node should find; less is left to those there
    idle_s : an allocation whose nodes had nothing to do for so long is given back
    margin_s : so long before its end its agents save what they have, and leave
    look_s : seconds between two looks at the queue
    login : host on which the batch system's commands are run, by SSH; this machine by default
    lines : further lines for the head of the script, such as "#SBATCH --constraint=a100"
    """

    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    walltime: tuple[str, ...] = ("01:00:00",)
    nodes: Count = 1
    max_nodes: Count = 1
    max_queued: Count = 2
    worth_s: Positive = 60.0
    idle_s: Positive = 300.0
    margin_s: Positive = 60.0
    look_s: Positive = 15.0
    login: str | None = None
    lines: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ladder = self.ladder_s
        if not ladder or min(ladder) <= self.margin_s:
            raise ValueError(f"has a walltime that is no longer than margin_s, {self.margin_s:g} s")
        if self.max_nodes < self.nodes:
            raise ValueError(
                f"has allocations of {self.nodes} nodes, and max_nodes is {self.max_nodes}"
            )

    @property
    def ladder_s(self) -> tuple[float, ...]:
        """The walltimes in seconds, the shortest first."""
        return tuple(sorted(_seconds(text) for text in self.walltime))


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", text)
    if match is None:
        raise ValueError(f'has walltime {text!r}; write it as "HH:MM:SS" or "D-HH:MM:SS"')
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 86400.0 * days + 3600 * hours + 60 * minutes + seconds


BATCH_SYSTEMS = ("slurm", "pbs", "sge", "lsf")
"""Launchers whose nodes a batch system gives, as many as there is work for."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Nodes with like resources, and how to start an agent there.

    Parameters
    ----------
    launcher : how agents start; `stargen plugins` lists the launchers
    hosts : names of the machines, with ranges as in "cn[001-128]"; none for this machine, or where
        a batch system chooses
    folder : where campaigns keep their files on these hosts, if they do not share the master's
    ssh : how the hosts are reached
    batch : what is asked of the batch system, if one gives the nodes
    setup : shell lines before the agent starts, such as "module load vasp"
    commands : what programs are called here, such as vasp = "srun vasp_std"
    interpreter : absolute path of the Python that has Star-gen; the master's own by default
    bootstrap : distributions that are copied to the nodes with all that they require, where nobody
        has installed them; `interpreter` is then the Python that they are put around
    scratch : folder on the node for the folders of tasks; the node's own by default
    limits : what one node may give
    """

    launcher: str = "local"
    hosts: tuple[str, ...] = ()
    folder: str | None = None
    ssh: Ssh = field(default_factory=Ssh)
    batch: Batch = field(default_factory=Batch)
    setup: tuple[str, ...] = ()
    commands: Mapping[str, str] = field(default_factory=dict[str, str])
    interpreter: str | None = None
    bootstrap: tuple[str, ...] = ()
    scratch: str | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        names = self.names
        twice = next((name for name, after in pairwise(sorted(names)) if name == after), None)
        if twice is not None:
            raise ValueError(f"names host {twice} twice")

    @property
    def is_batch(self) -> bool:
        """True if a batch system gives the nodes, as many as there is work for."""
        return self.launcher in BATCH_SYSTEMS

    @property
    def names(self) -> list[str]:
        """The hosts, ranges written out."""
        return [name for pattern in self.hosts for name in expand(pattern)]


@dataclass(frozen=True, slots=True)
class Master:
    """How the master and its agents keep in touch.

    Parameters
    ----------
    heartbeat_s : seconds of silence after which either side says that it lives
    lost_after_s : seconds without a link after which a node's tasks go to others
    lease_s : seconds that an agent works on alone before it saves what it has and ends
    listen : address at which agents in allocations report; all of this machine's if empty
    port : the port there; any free one if 0
    """

    heartbeat_s: Positive = 5.0
    lost_after_s: Positive = 60.0
    lease_s: Positive = 43_200.0
    listen: str = ""
    port: Annotated[int, Bounds(least=0, most=65_535)] = 0

    def __post_init__(self) -> None:
        if not self.heartbeat_s < self.lost_after_s < self.lease_s:
            raise ValueError(
                "must satisfy heartbeat_s < lost_after_s < lease_s; they are"
                f" {self.heartbeat_s:g}, {self.lost_after_s:g} and {self.lease_s:g}"
            )


def _this_machine() -> dict[str, Pool]:
    return {"local": Pool()}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that site files say."""

    master: Master = field(default_factory=Master)
    pool: Mapping[str, Pool] = field(default_factory=_this_machine)


def load_settings(
    config: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """The settings of this site, user and working directory together.

    Parameters
    ----------
    config : a file to read instead of the working directory's
    environ, folder : the process's own by default

    Raises
    ------
    ConfigError, Problems : with file, line, key, what was found and what to write
    """
    places = config_files(environ if environ is not None else os.environ, folder or Path.cwd())
    if config is not None:
        places[-1] = config
    found = [place for place in places if place == config or place.is_file()]
    return settings_from([read_document(place, ConfigError) for place in found])


def config_files(environ: Mapping[str, str], folder: Path) -> list[Path]:
    """Where site files are looked for, the weakest first; the last is the working directory's.

    Source: XDG Base Directory Specification 0.8.
    """
    site = [Path(p) for p in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":") if p]
    home = Path(environ.get("HOME") or Path.home())
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return [*(p / "stargen" / FILE_NAME for p in [*reversed(site), user]), folder / FILE_NAME]


def settings_from(documents: Iterable[Document]) -> Settings:
    """The settings of several site files, later ones overriding earlier ones key by key.

    Raises
    ------
    ConfigError, Problems : with file, line, key, what was found and what to write
    """
    problems: list[UserError] = []
    merged: dict[str, Any] = {}
    last: Document | None = None
    for document in documents:
        reader = Reader(document)
        reader.table(Settings, document.values)
        problems += reader.problems
        merged = _merge(merged, document.values)
        last = document
    raise_problems(problems)
    if last is None:
        return Settings()
    together = Reader(last)
    settings = together.table(Settings, merged)
    for name, pool in settings.pool.items() if settings is not None else ():
        if pool.is_batch and (pool.limits.cores is None or pool.limits.memory_gib is None):
            said = "its limits do not say what one of its nodes has"
            hint = "write cores and memory_gib: so much is asked of the batch system for each node"
            together.note(("pool", name), said, hint)
        if pool.bootstrap and (pool.launcher == "local" or (pool.is_batch and not pool.folder)):
            said = "there is nowhere to put what its bootstrap names"
            hint = (
                "write a folder that login and compute nodes see; this machine needs no bootstrap"
            )
            together.note(("pool", name, "bootstrap"), said, hint)
    together.finish()
    assert settings is not None
    return settings


def node_resources(limits: Limits, machine: Resources) -> Resources:
    """What one node offers: its own resources, as far as the limits do not say otherwise."""
    stated = {
        name: value
        for name in ("cores", "memory_gib", "gpus", "scratch_gib")
        if (value := getattr(limits, name)) is not None
    }
    return replace(machine, io=limits.io, custom=tuple(sorted(limits.custom.items())), **stated)


def batch_node(limits: Limits) -> Resources:
    """What a node has that a batch system gives, as far as it is known before there is one."""
    return node_resources(limits, Resources(scratch_gib=_SCRATCH_UNKNOWN_GIB))


def promised_nodes(settings: Settings, machine: Resources) -> list[tuple[str, Resources]] | None:
    """(pool, what it has) of every node that there will be; None if that is not known yet.

    Parameters
    ----------
    machine : what this machine has
    """
    nodes: list[tuple[str, Resources]] = []
    for name, pool in settings.pool.items():
        limits = pool.limits
        if pool.launcher == "local":
            nodes.append((name, node_resources(limits, machine)))
        elif pool.is_batch:
            nodes += [(name, batch_node(limits))] * pool.batch.nodes
        elif limits.cores is None or limits.memory_gib is None or limits.gpus is None:
            return None
        else:
            offer = (name, node_resources(limits, Resources()))
            nodes += [offer] * max(1, len(pool.names))
    return nodes


def _merge(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are joined, everything else is replaced."""
    merged = dict(weak)
    for key, value in strong.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _merge(cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", value))
        merged[key] = value
    return merged
