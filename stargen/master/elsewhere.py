"""A master on another machine, reached by the SSH server that it has for its agents.

What runs on the machine itself is reached by the control socket. Where the master lives elsewhere
(another login node, or an allocation), a thread here holds a connection to its server and lets a
socket of ours stand for the master's.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from pathlib import Path

from stargen.errors import NodeError
from stargen.transport.dialback import CONTROL
from stargen.transport.dialing import Connection, reach
from stargen.transport.meeting import MeetingPlace

_PATIENCE_S = 30.0


class Tunnel:
    """The way to a campaign's master; `path` is the socket that stands for its own.

    Raises
    ------
    NodeError : it is not reached
    """

    def __init__(self, campaign: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="stargen-"))
        self.path = self._folder / "control"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        opening = asyncio.run_coroutine_threadsafe(self._open(campaign), self._loop)
        try:
            self._connection = opening.result(_PATIENCE_S)
        except (NodeError, TimeoutError) as error:
            self._end()
            if isinstance(error, TimeoutError):
                error = NodeError(f"no answer in {_PATIENCE_S:g} s", node="the master")
            raise error from None

    async def _open(self, campaign: Path) -> Connection:
        connection = await reach(MeetingPlace.of(campaign))
        await connection.forward_local_path(str(self.path), CONTROL)
        return connection

    async def _hang_up(self) -> None:
        self._connection.close()
        await self._connection.wait_closed()

    def close(self) -> None:
        """Hang up."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(_PATIENCE_S)
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        shutil.rmtree(self._folder, ignore_errors=True)
