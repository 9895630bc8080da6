"""Links over the system's ssh command: it knows every way of logging in that the site knows.

A ControlMaster connection that a person opened (with a second factor, say) is used by it as by any
other ssh. Each command, and the one bridge to the agent's socket, is a process of its own here.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from stargen.config import Ssh
from stargen.errors import LinkLost, NodeError
from stargen.transport.children import run_child
from stargen.transport.link import Stream
from stargen.transport.ssh import Finished, no_answer

_LOST = 255
"""ssh's own exit status when it has lost, or never had, a connection."""
_SAID_BYTES = 4000


class OpensshHost:
    """A host reached through the system's ssh; see `stargen.transport.ssh.RemoteHost`."""

    def __init__(self, name: str, options: Ssh, *, keepalive_s: float) -> None:
        self.name = name
        self._options = options
        self._words = _command(name, options, keepalive_s)

    async def run(self, command: str, timeout_s: float, told: bytes = b"") -> Finished:
        try:
            done = await run_child([*self._words, command], timeout_s, told)
        except TimeoutError as error:
            raise NodeError(no_answer(timeout_s, command), node=self.name) from error
        except OSError as error:
            raise NodeError(f"ssh cannot be started: {error}", node=self.name) from error
        said = done.stderr.decode(errors="replace")
        if done.status < 0 or done.status == _LOST:
            raise NodeError(f"it cannot be reached: {said.strip()[-400:]}", node=self.name)
        return Finished(done.status, done.stdout.decode(errors="replace"), said)

    async def carry(self, stream: Stream, socket: str, bridge: str) -> None:
        await self.pipe(stream, bridge)

    async def pipe(self, stream: Stream, command: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.subprocess_exec(
                lambda: _SshProcess(stream), *self._words, command, start_new_session=True
            )
        except OSError as error:
            raise LinkLost(f"ssh cannot be started: {error}", node=self.name) from error

    async def renew(self) -> None:
        """Nothing to do: each stream is a process of its own."""

    async def close(self) -> None:
        """Nothing to do, as above."""


def unattended(options: Ssh, keepalive_s: float) -> list[str]:
    """What ssh is told so that it asks nobody, and notices when the other side is gone."""
    settings = {
        "BatchMode": "yes",
        "ConnectTimeout": f"{options.connect_s:.0f}",
        "ServerAliveInterval": f"{max(1.0, keepalive_s):.0f}",
        "ServerAliveCountMax": "3",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _command(name: str, options: Ssh, keepalive_s: float) -> list[str]:
    words = ["ssh", "-T"]
    if options.config is not None:
        words += ["-F", options.config]
    if options.user is not None:
        words += ["-l", options.user]
    if options.port is not None:
        words += ["-p", str(options.port)]
    if options.identity is not None:
        words += ["-i", options.identity]
    if options.jump is not None:
        words += ["-J", options.jump]
    return [*words, *unattended(options, keepalive_s), "--", name]


class _SshProcess(asyncio.SubprocessProtocol):
    """One ssh process; what a `Stream` sees of it is `_Pipes`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._said = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._stream.connection_made(_Pipes(cast("asyncio.SubprocessTransport", transport)))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            self._stream.data_received(data)
        else:
            self._said = (self._said + data)[-_SAID_BYTES:]

    def process_exited(self) -> None:
        said = self._said.decode(errors="replace").strip()
        self._stream.connection_lost(ConnectionError(said) if said else None)


class _Pipes(asyncio.Transport):
    """A process's standard input and output as one transport."""

    def __init__(self, process: asyncio.SubprocessTransport) -> None:
        super().__init__()
        self._process = process
        self._stdin = cast("asyncio.WriteTransport", process.get_pipe_transport(0))
        self._stdout = cast("asyncio.ReadTransport", process.get_pipe_transport(1))

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._stdin.write(data)

    def get_write_buffer_size(self) -> int:
        return self._stdin.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._stdin.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        self._stdout.pause_reading()

    def resume_reading(self) -> None:
        self._stdout.resume_reading()

    def close(self) -> None:
        self._stdin.close()

    def abort(self) -> None:
        self._stdin.abort()
        if self._process.get_returncode() is None:
            self._process.kill()
