"""A master for tests: ``python -m support.master_process FILE FOLDER [--takeover]``.

It is wired as `stargen up` wires it, with short patience, and agents and sinks that, like itself,
may be told by the environment to die at a named point (see killing.py).
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from support.killing import Killer, SyncedLength

from stargen.config import Limits, Master, Pool, Settings
from stargen.errors import StargenError
from stargen.launchers import agentprocess
from stargen.launchers.base import NodeSpec
from stargen.master.launch import Wiring

SETTINGS = Settings(
    master=Master(heartbeat_s=0.5, lost_after_s=10.0, lease_s=60.0),
    pool={"local": Pool(limits=Limits(cores=2))},
)

SINK_COMMAND = (sys.executable, "-m", "support.sink_process")


def main() -> int:
    file, folder = Path(sys.argv[1]), Path(sys.argv[2])
    killer = Killer("master")
    synced = SyncedLength(folder / "journal", file.with_name("synced"))

    def observe(point: str) -> None:
        synced(point)
        killer(point)

    usual_command = agentprocess.command

    def command(node: NodeSpec) -> list[str]:
        swap = {"stargen.executing.agent": "support.agent_process"}
        return [swap.get(word, word) for word in usual_command(node)]

    agentprocess.command = command
    wiring = Wiring(
        file, settings=SETTINGS, folder=folder, observer=observe, sink_command=SINK_COMMAND
    )
    try:
        outcome = asyncio.run(wiring.run())
    except StargenError as error:
        print(error, file=sys.stderr)
        return 2
    said = {"state": outcome.state, "reason": outcome.reason, "left": outcome.left}
    print(json.dumps({**said, "missing": outcome.missing}))
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main())
