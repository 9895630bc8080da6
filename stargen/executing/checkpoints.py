"""Checkpoints: how far a task has come, in a form that a later attempt can go on from.

A worker makes the bytes: the batch as it stood after the last finished step, and what the step at
hand asked to keep. The agent keeps them under ``<campaign>/checkpoints/<job>/<ordinal>/`` until the
task has a result.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from stargen.codec import pack, unpack
from stargen.files import write_atomically
from stargen.messages import DefineJob

_FORM = 1
_STATE = "state"


class Progress(NamedTuple):
    """What a checkpoint holds.

    `done` steps are finished; `entries` are what they made and `drops` what they turned away (both
    empty, and `entries` None, while the first step is at work); `state` is the current step's own.
    """

    done: int = 0
    entries: Sequence[bytes] | None = None
    drops: bytes = b""
    end_of_source: int | None = None
    state: bytes | None = None

    def encode(self) -> bytes:
        return pack((_FORM, *self))

    @classmethod
    def decode(cls, data: bytes) -> Progress | None:
        """The inverse; None for a form that this version does not read: then begin afresh."""
        try:
            form, *fields = unpack(data)
            return cls(*fields) if form == _FORM else None
        except (ValueError, TypeError):
            return None


class Checkpoints:
    """The agent's keeping place.

    Writing goes on in the background, one write per task at a time.

    Parameters
    ----------
    folder : where they lie
    group : where the writing runs
    carry : brings what is kept of (job, ordinal) to a master that does not see the folder
    """

    def __init__(
        self, folder: Path, group: asyncio.TaskGroup, carry: Callable[[str, int], Awaitable[None]]
    ) -> None:
        self._folder = folder
        self._carry = carry
        self._group = group
        self._latest: dict[tuple[str, int], bytes] = {}
        self._writers: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._doomed: set[tuple[str, int]] = set()

    def place(self, job: str, ordinal: int) -> Path:
        """The folder of one task's checkpoint; need not exist."""
        return self._folder / job / str(ordinal)

    def keep(self, job: str, ordinal: int, state: bytes) -> None:
        """Replace the task's checkpoint; durable a little later."""
        key = (job, ordinal)
        self._latest[key] = state
        self._doomed.discard(key)
        if key not in self._writers:
            self._writers[key] = self._group.create_task(self._write(key))

    def load(self, job: str, ordinal: int) -> bytes | None:
        """The task's last checkpoint, if there is one."""
        latest = self._latest.get((job, ordinal))
        if latest is not None:
            return latest
        try:
            return (self.place(job, ordinal) / _STATE).read_bytes()
        except OSError:
            return None

    def forget(self, job: str, ordinal: int) -> None:
        """The task has its result."""
        key = (job, ordinal)
        self._latest.pop(key, None)
        if key in self._writers:
            self._doomed.add(key)
        else:
            self._remove(key)

    def _remove(self, key: tuple[str, int]) -> None:
        place = self.place(*key)
        with suppress(OSError):
            if place.exists():
                shutil.rmtree(place)

    def afterwards(self, job: str, ordinal: int, call: Callable[[], None]) -> None:
        """Do something as soon as the task's checkpoint is durable, or now if it is or never was.

        Whoever is told that an attempt is over may begin the next one on another node.
        """
        key = (job, ordinal)
        writer = self._writers.get(key)
        if writer is None and self.place(job, ordinal).is_dir():  # files of a program, perhaps
            writer = self._writers[key] = self._group.create_task(self._write(key))
        if writer is None:
            call()
        else:
            writer.add_done_callback(lambda _: call())

    async def settle(self) -> None:
        """Wait until everything is written."""
        while self._writers:
            await asyncio.wait(self._writers.values())

    async def _write(self, key: tuple[str, int]) -> None:
        try:
            while (state := self._latest.get(key)) is not None:
                await asyncio.to_thread(_write_state, self.place(*key), state)
                if self._latest.get(key) is state:
                    del self._latest[key]
            if key not in self._doomed:
                await self._carry(*key)
        except OSError:
            # No room or no folder: the task goes on, and a retry begins further back.
            self._latest.pop(key, None)
        finally:
            del self._writers[key]
            if key in self._doomed:
                self._doomed.remove(key)
                self._remove(key)


def folder_pack(job: DefineJob, ordinal: int) -> Path:
    """Where the packed files of a task that has to begin again lie; need not exist."""
    place = Path(job.campaign_folder, "checkpoints", job.name, str(ordinal))
    return place / "folder.tar.zst"


def _write_state(place: Path, state: bytes) -> None:
    place.mkdir(parents=True, exist_ok=True)
    write_atomically(place / _STATE, state)
