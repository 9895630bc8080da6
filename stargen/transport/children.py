"""Commands of this machine, run to their end."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import NamedTuple


class Ended(NamedTuple):
    """How a command ended: by a negative status if by a signal."""

    status: int
    stdout: bytes
    stderr: bytes


async def run_child(words: list[str], timeout_s: float, told: bytes = b"") -> Ended:
    """Run a command in a session of its own; it is killed if nobody waits for it any more.

    Parameters
    ----------
    told : its standard input

    Raises
    ------
    TimeoutError : it did not end in time
    OSError : it cannot be started
    """
    starting = asyncio.ensure_future(_start(words))
    try:
        process = await asyncio.shield(starting)  # Python 3.11 may hang if this is cancelled
    except asyncio.CancelledError:
        await _end(await starting)
        raise
    try:
        async with asyncio.timeout(timeout_s):
            stdout, stderr = await process.communicate(told)
    finally:
        await _end(process)
    assert process.returncode is not None
    return Ended(process.returncode, stdout, stderr)


async def _start(words: list[str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it with all that it has started, which may hold its pipes open."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
