"""Control groups: the kernel holds a task to its memory where this user may make such groups.

Limits are watched in any case (limits.py), a few times a second, and a task that is found above its
own is stopped in plain words. A group guards the node against those that are faster: its limit is
a little higher, so that watching comes first where it can.

Version 2 wants processes in leaves only: the agent moves itself into one, which succeeds where its
group was delegated to it and holds nobody else. Version 1 takes groups below the agent's own.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

_ROOT = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self/cgroup")
_SLACK, _SLACK_BYTES = 1.05, 64 * 2**20
_GIB = 2**30
_EMPTY_S = 1.0
"""A group may be removed once the kernel has seen the last of its processes off."""
_UNLIMITED = {"memory.max": "max", "memory.limit_in_bytes": "-1"}


class MemoryGroup:
    """Processes that have so much memory together.

    Parameters
    ----------
    folder : of the group, in the kernel's file system
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        second = (folder / "memory.max").exists()
        self._limit = "memory.max" if second else "memory.limit_in_bytes"
        self._events = "memory.events" if second else "memory.oom_control"
        self._held_to: str | None = None

    def add(self, pid: int) -> None:
        """Take a process in, and all that it will start."""
        with suppress(OSError):  # it may have ended
            (self.folder / "cgroup.procs").write_text(str(pid))

    def hold_to(self, memory_gib: float) -> None:
        """From here on so much; 0 for any amount."""
        limit = _UNLIMITED[self._limit]
        if memory_gib:
            limit = str(int(memory_gib * _GIB * _SLACK) + _SLACK_BYTES)
        if limit == self._held_to:
            return  # every grant says so, and a file costs more than the rest of a grant
        with suppress(OSError):  # it holds more already: the watching ends that
            (self.folder / self._limit).write_text(limit)
            self._held_to = limit

    def kills(self) -> int:
        """How many of its processes the kernel has killed for want of memory."""
        with suppress(OSError):
            for line in (self.folder / self._events).read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return 0

    def remove(self) -> None:
        """It is empty, or will be in a moment."""
        deadline = time.monotonic() + _EMPTY_S
        while self.folder.exists():
            try:
                self.folder.rmdir()
            except OSError as error:
                if time.monotonic() > deadline:
                    log.warning("%s stays: %s", self.folder, error.strerror)
                    return
                time.sleep(0.01)


class MemoryGroups:
    """The groups of one agent.

    Parameters
    ----------
    folder : that holds them; the agent's own
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def made_for(cls, name: str, root: Path = _ROOT, own: Path = _SELF) -> MemoryGroups | None:
        """Groups in a folder called `name`, empty; None where kernel or site allows none."""
        try:
            lines = [line.split(":", 2) for line in own.read_text().splitlines()]
            paths = {controllers: path.lstrip("/") for _, controllers, path in lines}
            if "memory" in paths:
                groups = cls._below(root / "memory" / paths["memory"], name)
            else:
                groups = cls._delegated(root / paths[""], name)
        except (OSError, KeyError, ValueError):
            return None
        if groups is not None:
            groups.clear()
        return groups

    @classmethod
    def _below(cls, base: Path, name: str) -> MemoryGroups | None:
        if not (base / "memory.limit_in_bytes").exists():
            return None
        folder = base / name
        folder.mkdir(exist_ok=True)
        return cls(folder)

    @classmethod
    def _delegated(cls, base: Path, name: str) -> MemoryGroups | None:
        if "memory" not in (base / "cgroup.controllers").read_text().split():
            return None
        own = base / f"{name}.agent"
        own.mkdir(exist_ok=True)
        try:
            (own / "cgroup.procs").write_text(str(os.getpid()))
            (base / "cgroup.subtree_control").write_text("+memory")
            folder = base / name
            folder.mkdir(exist_ok=True)
            (folder / "cgroup.subtree_control").write_text("+memory")
        except OSError:
            with suppress(OSError):
                (base / "cgroup.procs").write_text(str(os.getpid()))
                own.rmdir()
            return None
        return cls(folder)

    def group(self, name: str) -> MemoryGroup | None:
        """A group of its own for a worker or a program; None if it cannot be made."""
        folder = self.folder / name
        try:
            folder.mkdir(exist_ok=True)
        except OSError:
            return None
        return MemoryGroup(folder)

    def clear(self) -> None:
        """Remove all groups; their processes have ended."""
        with suppress(OSError):
            for folder in self.folder.iterdir():
                if folder.is_dir():
                    MemoryGroup(folder).remove()

    def remove(self) -> None:
        """And the folder that holds them."""
        self.clear()
        MemoryGroup(self.folder).remove()
