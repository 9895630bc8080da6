"""The agent's command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path

from stargen.devices import first_gpus
from stargen.executing.capacity import Topology
from stargen.machine import end_of_allocation, this_machine
from stargen.model import Resources

_NUMA = Path("/sys/devices/system/node")


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """How an agent is to be.

    Parameters
    ----------
    campaign_folder : of the campaign as seen from this node
    socket : path of the UNIX socket to listen on
    node : its name
    resources : what it may give to tasks
    campaign_id : the only campaign that it serves; any, once, if empty
    state : folder on a disk of this node for identity, spool and logs
    scratch : folder on a disk of this node for the folders of tasks; None for the usual one
    lease_s : how long it works without a master
    grace_s : how long a task may take over each way of being stopped
    idle_s : how long a worker without work is kept
    shared_gib : how much of the RAM disk data may take that tasks share; None for the usual share
    ends_at : UNIX time at which the allocation that it runs in ends; None if nothing is known
    margin_s : how long before that it saves what it has, and leaves
    """

    campaign_folder: Path
    socket: Path
    node: str
    resources: Resources
    state: Path
    campaign_id: str = ""
    scratch: Path | None = None
    lease_s: float = 43_200.0
    grace_s: float = 5.0
    idle_s: float = 300.0
    shared_gib: float | None = None
    ends_at: float | None = None
    margin_s: float = 60.0


def parse(arguments: Sequence[str] | None = None) -> AgentOptions:
    """Read the command line; what is not said of the node's resources is what the machine has."""
    parser = argparse.ArgumentParser(prog="stargen.executing.agent")
    add = parser.add_argument
    add("--campaign-folder", type=Path, required=True, help="the campaign's folder")
    add("--socket", type=Path, required=True, help="UNIX socket to listen on")
    add("--node", required=True, help="name of this node")
    add("--campaign-id", default="", help="serve no other campaign")
    add("--state", type=Path, help="folder for spool and logs [CAMPAIGN/run/agent-NODE]")
    add("--scratch", type=Path, help="folder for the folders of tasks [that for temporary files]")
    add(
        "--lease-s",
        type=_amount,
        default=43_200.0,
        help="life without a master [%(default)s]",
    )
    add("--grace-s", type=_amount, default=5.0, help="between two ways of stopping [%(default)s]")
    add("--idle-s", type=_amount, default=300.0, help="how long an idle worker stays [%(default)s]")
    add("--cores", type=_count, help="cores to give to tasks")
    add("--memory-gib", type=_amount, help="memory to give to tasks")
    add("--gpus", type=_count, help="GPUs to give to tasks")
    add("--scratch-gib", type=_amount, help="disk to give to tasks")
    add("--shared-gib", type=_amount, help="RAM disk for shared data [a quarter of its room]")
    add("--io", type=_count, default=4, help="slots for tasks that read and write [%(default)s]")
    add("--margin-s", type=_amount, default=60.0, help="left before the end [%(default)s]")
    add("--custom", type=_custom, action="append", default=[], metavar="NAME=AMOUNT")
    options = parser.parse_args(arguments)
    folder = options.campaign_folder.resolve()
    return AgentOptions(
        campaign_folder=folder,
        socket=options.socket,
        node=options.node,
        resources=_resources(options),
        state=options.state or folder / "run" / f"agent-{options.node}",
        campaign_id=options.campaign_id,
        scratch=options.scratch,
        lease_s=options.lease_s,
        grace_s=options.grace_s,
        idle_s=options.idle_s,
        shared_gib=options.shared_gib,
        ends_at=end_of_allocation(os.environ),
        margin_s=options.margin_s,
    )


def topology(resources: Resources) -> Topology:
    """Which cores and GPUs of this machine make up what the agent may give."""
    usable = sorted(os.sched_getaffinity(0))
    pinned = resources.cores <= len(usable)
    numbers = usable[: resources.cores] if pinned else list(range(resources.cores))
    lanes = [tuple(core for core in numbers if core in lane) for lane in _numa_nodes()]
    known = {core for lane in lanes for core in lane}
    lanes.append(tuple(core for core in numbers if core not in known))
    gpus = -int(-resources.gpus // 1)
    return Topology(tuple(lane for lane in lanes if lane), first_gpus(gpus), pinned)


def _numa_nodes() -> list[set[int]]:
    lists = sorted(_NUMA.glob("node[0-9]*/cpulist"))
    return [_members(path.read_text()) for path in lists]


def _members(text: str) -> set[int]:
    """The numbers of a list such as ``0-3,8``."""
    members: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            members.update(range(int(first), int(last or first) + 1))
    return members


def _resources(options: argparse.Namespace) -> Resources:
    if options.scratch is not None:
        options.scratch.mkdir(parents=True, exist_ok=True)
    machine = this_machine(options.scratch)
    given = (options.cores, options.memory_gib, options.gpus, options.scratch_gib)
    has = (machine.cores, machine.memory_gib, machine.gpus, machine.scratch_gib)
    cores, memory_gib, gpus, scratch_gib = (
        h if g is None else g for g, h in zip(given, has, strict=True)
    )
    return Resources(
        cores=int(cores),
        gpus=float(gpus),
        memory_gib=float(memory_gib),
        scratch_gib=float(scratch_gib),
        io=options.io,
        custom=tuple(sorted(options.custom)),
    )


def _amount(text: str) -> float:
    with suppress(ValueError):
        amount = float(text)
        if 0 <= amount < inf:
            return amount
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def _custom(text: str) -> tuple[str, float]:
    name, _, amount = text.partition("=")
    return name, _amount(amount or "1")
