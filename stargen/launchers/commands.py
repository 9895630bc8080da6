"""Commands that are run where a batch system is: on this machine, or on a login host by SSH."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from stargen.errors import NodeError
from stargen.transport.children import run_child
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
        try:
            done = await run_child(["/bin/sh", "-c", command], timeout_s, told)
        except TimeoutError as error:
            raise NodeError(no_answer(timeout_s, command), node="this machine") from error
        return Finished(done.status, _text(done.stdout), _text(done.stderr))

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
