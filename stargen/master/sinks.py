"""Sinks: each in a process of its own, watched, started again when it fails, waited for at the end.

A sink can neither slow the campaign down nor stop it: it reads the journal's files at its own pace,
and whatever it has not stored when it dies it reads again.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stargen.errors import StoreRefused

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_TELL_S = 0.2
"""The sink is told of new records at most this often."""
COMMAND = (sys.executable, "-m", "stargen.master.sink_process")


@dataclass(frozen=True, slots=True)
class SinkSpec:
    """What a sink process must know.

    Parameters
    ----------
    name : of the sink's entry point
    url : of its store
    jobs : each job's name with the names of its inputs, in the order of their numbers
    selects : names of the jobs that are selects
    run_key : names the journal among all journals
    folder : where relative parts of the url begin
    """

    name: str
    url: str
    journal: Path
    campaign: str
    jobs: Mapping[str, Sequence[str]]
    selects: Sequence[str]
    run_key: str
    folder: Path

    def arguments(self) -> list[str]:
        return [
            f"--sink={self.name}",
            f"--url={self.url}",
            f"--journal={self.journal.resolve()}",
            f"--campaign={self.campaign}",
            f"--run-key={self.run_key}",
            f"--jobs={json.dumps({name: list(inputs) for name, inputs in self.jobs.items()})}",
            f"--selects={json.dumps(list(self.selects))}",
        ]


class SinkKeeper:
    """One sink.

    Parameters
    ----------
    durable : how far the journal is durable now
    """

    def __init__(
        self,
        spec: SinkSpec,
        *,
        durable: Callable[[], int],
        alert: Callable[[str], None],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.spec = spec
        self.stored = 0
        self.problem = ""
        self._durable = durable
        self._alert = alert
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._stored = asyncio.Event()
        self._spoke = asyncio.Event()
        self._refused = ""

    @property
    def missing(self) -> int:
        """Records that are durable and not yet in the store."""
        return max(0, self._durable() - self.stored)

    async def keep(self) -> None:
        """Keep the sink running until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            before = self.stored
            problem = await self._run()
            if self.stored > before:
                pause_s = _FIRST_PAUSE_S
            if problem != self.problem:
                self.problem = problem
                self._alert(f"{self.spec.name} ({self.spec.url}): {problem}; it is tried again")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def meet(self, patience_s: float) -> None:
        """Wait for the sink's first word, but not for ever: what is late goes on being tried.

        Raises
        ------
        StoreRefused : the store is of another run, or none that can be used
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._spoke.wait()
        if self._refused:
            raise StoreRefused(self._refused)

    async def finish(self, patience_s: float) -> None:
        """Wait until the store has everything, or nothing has moved for so long."""
        with suppress(TimeoutError):
            while self.missing:
                self._stored.clear()
                async with asyncio.timeout(patience_s):
                    await self._stored.wait()

    def shortfall(self) -> str | None:
        """What the store lacks, in words."""
        if not self.missing:
            return None
        why = f" ({self.problem})" if self.problem else ""
        return (
            f"{self.spec.name} {self.spec.url} lacks the last {self.missing} of "
            f"{self._durable()} records{why}; the next start writes them"
        )

    async def _run(self) -> str:
        """One life of the sink's process; why it ended."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *self.spec.arguments(),
            cwd=self.spec.folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        telling = asyncio.create_task(self._tell(process))
        said = ""
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                said = self._hear(line) or said
            return said or f"its process ended with code {await process.wait()}"
        finally:
            self._spoke.set()
            telling.cancel()
            await _end(process)

    def _hear(self, line: bytes) -> str:
        try:
            what = json.loads(line)
        except ValueError:
            return line.decode(errors="replace").strip()
        problem = str(what.get("problem", ""))
        self._refused = problem if what.get("refused") else ""
        if "stored" in what:
            self._spoke.set()
            before, self.stored = self.stored, int(what["stored"])
            if self.stored > before:
                self.problem = ""
                self._stored.set()
        return problem

    async def _tell(self, process: asyncio.subprocess.Process) -> None:
        """Pass on how far the journal is durable, as it grows."""
        assert process.stdin is not None
        told = -1
        with suppress(OSError):
            while True:
                if (durable := self._durable()) != told:
                    told = durable
                    process.stdin.write(b"%d\n" % durable)
                    await process.stdin.drain()
                await asyncio.sleep(_TELL_S)


async def _end(process: asyncio.subprocess.Process) -> None:
    """The process is gone when this returns; a batch in hand may be lost, and is read again."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(5.0):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
