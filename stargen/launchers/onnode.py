"""What is done on a node itself, as a command that launchers run there through a remote shell.

    python -m stargen.launchers.onnode start SPEC     find the node's agent, or start one
    python -m stargen.launchers.onnode stop SPEC      end it, with proof
    python -m stargen.launchers.onnode report SPEC TOKEN TRIALS    say what the node is like
    python -m stargen.launchers.onnode bridge SOCKET  join standard input and output to its socket

SPEC is a `NodeSpec` as JSON. Answers are one line of JSON behind `MARK`, because a shell's start-up
files may print whatever they like before it. All but reports come by the hundred, so what only
these need is imported by them alone.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargen.errors import StargenError
from stargen.launchers.agentprocess import start, stop
from stargen.launchers.base import NodeSpec
from stargen.store import CampaignFolder
from stargen.version import __version__

if TYPE_CHECKING:
    from stargen.config import Pool
    from stargen.launchers.trying import Trial

MARK = "stargen-answer "
_CHUNK = 256 * 1024


def spec_to_json(node: NodeSpec) -> str:
    """What the node must know of itself; its setup lines have been run already when it reads it."""
    settings = node.settings
    return json.dumps(
        {
            "name": node.name,
            "pool": node.pool,
            "campaign_id": node.campaign_id,
            "folder": str(node.campaign_folder),
            "socket": node.socket.name,
            "lease_s": node.lease_s,
            "scratch": settings.scratch,
            "limits": asdict(settings.limits),
        },
        separators=(",", ":"),
    )


def settings_to_json(settings: Pool) -> str:
    """As above, for a report."""
    told = {
        "scratch": settings.scratch,
        "limits": asdict(settings.limits),
        "commands": dict(settings.commands),
    }
    return json.dumps(told, separators=(",", ":"))


def _settings(told: dict[str, Any]) -> Pool:
    from stargen.config import Limits, Pool

    limits = Limits(**told["limits"])
    return Pool(scratch=told["scratch"], limits=limits, commands=told.get("commands", {}))


def trials_to_json(trials: Sequence[Trial]) -> str:
    """What is to be tried for a report."""
    return json.dumps([asdict(each) for each in trials], separators=(",", ":"))


def spec_from_json(text: str) -> NodeSpec:
    """The inverse, on the node: the socket lies where this user's sockets lie here."""
    told: dict[str, Any] = json.loads(text)
    folder = CampaignFolder(Path(told["folder"]))
    folder.prepare()
    return NodeSpec(
        name=told["name"],
        pool=told["pool"],
        settings=_settings(told),
        campaign_id=told["campaign_id"],
        campaign_folder=folder.root,
        run_folder=folder.run,
        socket=folder.socket(told["socket"]),
        lease_s=told["lease_s"],
    )


def answer_in(text: str) -> dict[str, Any] | None:
    """What the command answered, wherever it stands among a shell's noise; None if nowhere."""
    for line in reversed(text.splitlines()):
        if line.startswith(MARK):
            return json.loads(line[len(MARK) :])
    return None


def _start(node: NodeSpec) -> dict[str, Any]:
    """Answer once the agent listens, or say what became of it."""
    return {"pid": start(node), "socket": str(node.socket), "version": __version__}


def _report(settings: Pool, token: Path, trials: str) -> dict[str, Any]:
    from stargen.launchers.report import report_here
    from stargen.launchers.trying import Trial

    tried = [Trial(**each) for each in json.loads(trials)]
    return asdict(report_here(settings, token, tried))


def bridge(path: str, source: int = 0, target: int = 1) -> None:
    """Pass bytes between two descriptors and a UNIX socket until either side ends."""
    with socket.socket(socket.AF_UNIX) as agent, selectors.DefaultSelector() as waiting:
        agent.connect(path)
        waiting.register(agent, selectors.EVENT_READ)
        waiting.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                data = os.read(key.fd, _CHUNK)
                if not data:
                    return
                if key.fd == source:
                    agent.sendall(data)
                else:
                    _write_all(target, data)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _answer(verb: str, told: str, rest: Sequence[str]) -> dict[str, Any]:
    if verb == "report":
        token, trials = rest
        return _report(_settings(json.loads(told)), Path(token), trials)
    node = spec_from_json(told)
    if verb == "start":
        return _start(node)
    agent_id, grace_s = rest
    return {"left": stop(node, agent_id, float(grace_s))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    verb, told, *rest = sys.argv[1:] if arguments is None else arguments
    try:
        if verb == "bridge":
            bridge(told)
            return 0
        answer = _answer(verb, told, rest)
    except (StargenError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{MARK}{json.dumps(answer)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
