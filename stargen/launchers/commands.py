"""Commands that are run where a batch system is: on this machine, or on a login host by SSH."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from stargen.errors import NodeError
from stargen.transport.ssh import Finished, no_answer


class Shell(Protocol):
    """A machine whose shell runs command lines."""

    async def run(self, command: str, timeout_s: float, told: bytes = b"") -> Finished:
        """Run a command line to its end; `told` is its standard input.

        Raises
        ------
        NodeError : the machine cannot be reached, or the time is over
        """
        ...

    async def close(self) -> None: ...


class LocalShell:
    """The machine that we are on."""

    async def run(self, command: str, timeout_s: float, told: bytes = b"") -> Finished:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(timeout_s):
                out, said = await process.communicate(told)
        except TimeoutError as error:
            raise NodeError(no_answer(timeout_s, command), node="this machine") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Finished(process.returncode or 0, out.decode(errors="replace"), _text(said))

    async def close(self) -> None:
        """Nothing is held."""


async def put_file(shell: Shell, path: Path, content: bytes, mode: int, timeout_s: float) -> None:
    """Write a file there; what is in it appears in no command line.

    Raises
    ------
    NodeError : it cannot be written
    """
    beside = f"'{path}.new'"
    command = (
        f"umask 077 && mkdir -p '{path.parent}' && cat > {beside}"
        f" && chmod {mode:o} {beside} && mv {beside} '{path}'"
    )
    done = await shell.run(command, timeout_s, content)
    if done.status:
        raise NodeError(f"it cannot be written: {done.stderr.strip()}", node=str(path))


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
