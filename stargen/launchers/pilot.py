"""A node of an allocation: its agent, and its way to the master.

    python -m stargen.launchers.pilot SPEC

This is what the script of an allocation runs on each of its nodes. It starts the agent, reports to
the master whenever there is one, passes on signals, and ends when the agent has. An agent that
dies is started again, and adopts what the dead one left.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from stargen.config import Limits, Pool
from stargen.launchers.agentprocess import command
from stargen.launchers.base import RANK, NodeSpec, socket_name
from stargen.store import CampaignFolder
from stargen.transport.dialing import be_there
from stargen.transport.meeting import MeetingPlace

log = logging.getLogger(__name__)

RANKS = (RANK, "SLURM_PROCID", "PBS_NODENUM", "PMI_RANK")
"""Where our scripts and batch systems say which of an allocation's nodes a process is on."""
_STARTS = 5
_RESTART_S = 2.0
_LOOK_S = 0.05
_LAST_WORDS_S = 0.5
"""So long after its end an agent's goodbye may still be on its way."""


def node_name(allocation: str, nodes: int, environ: Mapping[str, str]) -> str:
    """What the node is called: as its allocation, if that has one only."""
    if nodes == 1:
        return allocation
    rank = next((environ[name] for name in RANKS if name in environ), "0")
    return f"{allocation}.{rank}"


def node_of(told: dict[str, Any], environ: Mapping[str, str]) -> NodeSpec:
    """The node that we are on; its setup lines have been run already."""
    folder = CampaignFolder(Path(told["folder"]))
    folder.prepare()
    name = node_name(told["name"], told["nodes"], environ)
    return NodeSpec(
        name=name,
        pool=told["pool"],
        settings=Pool(scratch=told["scratch"], limits=Limits(**told["limits"])),
        campaign_id=told["campaign_id"],
        campaign_folder=folder.root,
        run_folder=folder.run,
        socket=folder.socket(socket_name(name)),
        lease_s=told["lease_s"],
    )


async def attend(node: NodeSpec, margin_s: float) -> int:
    """Keep the node's agent until it leaves; its exit code."""
    words = [*command(node), f"--margin-s={margin_s:g}"]
    place = MeetingPlace.of(node.campaign_folder)
    reporting = asyncio.create_task(_report(place, node))
    leaving = asyncio.Event()
    loop = asyncio.get_running_loop()
    code = 0
    try:
        for _ in range(_STARTS):
            agent = await asyncio.create_subprocess_exec(
                *words, stdin=asyncio.subprocess.DEVNULL, cwd=node.campaign_folder
            )
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, _pass_on, agent, leaving)
            code = await agent.wait()
            if code == 0 or leaving.is_set():
                break
            log.warning("the agent ended with code %d", code)
            await asyncio.sleep(_RESTART_S)
        await asyncio.sleep(_LAST_WORDS_S)
    finally:
        reporting.cancel()
        await asyncio.wait((reporting,))
    return max(code, 0)


async def _report(place: MeetingPlace, node: NodeSpec) -> None:
    """Once the agent listens, and not before: the master connects to it at once."""
    while not node.socket.is_socket():  # noqa: ASYNC110 - nobody tells of a new file
        await asyncio.sleep(_LOOK_S)
    await be_there(place, node.name, node.socket)


def _pass_on(agent: asyncio.subprocess.Process, leaving: asyncio.Event) -> None:
    leaving.set()
    with suppress(ProcessLookupError):
        agent.terminate()


def main() -> int:
    """Be the pilot of this node; the process's exit code."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    told = json.loads(Path(sys.argv[1]).read_text())
    return asyncio.run(attend(node_of(told, os.environ), told["margin_s"]))


if __name__ == "__main__":
    sys.exit(main())
