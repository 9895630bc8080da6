"""Staging: the scratch folders of tasks on a node.

``scratch = "none"`` puts a task's folder beside the campaign, ``"local"`` on the node's own disk,
``"ram"`` on its RAM disk. All folders of one agent lie below one place per kind, which it
holds a lock on: what a killed agent left there is removed by this user's next agent on the node.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from stargen.messages import AttemptRef
from stargen.model import Scratch

_RAM_DISK = Path("/dev/shm")
_LOCK = ".lock"
_GIB = 2**30


class SharedPlace(NamedTuple):
    """Where the data lie that all workers of a node share.

    Parameters
    ----------
    ram : folder on the RAM disk
    disk : folder on a disk, for what is too large for the RAM disk
    quota_gib : how much the RAM disk may hold of them; 0 for nothing
    """

    ram: Path
    disk: Path
    quota_gib: float


class ScratchSpace:
    """The places of one agent.

    Parameters
    ----------
    agent_id : names its folders
    shared : the campaign's own scratch folder
    local : on a disk of this node; the folder for temporary files by default
    ram : on a RAM disk; `local` stands in where the node has none
    """

    def __init__(
        self, agent_id: str, shared: Path, local: Path | None = None, ram: Path = _RAM_DISK
    ) -> None:
        self._prefix = f"stargen-{os.getuid()}-"
        name = f"{self._prefix}{agent_id}"
        local = local or Path(tempfile.gettempdir())
        self._places: dict[Scratch, Path] = {
            "none": shared / agent_id,
            "local": local / name,
            "ram": (ram if os.access(ram, os.W_OK) else local) / name,
        }
        self._made: dict[Scratch, int] = {}

    def place(self, kind: Scratch) -> Path:
        """Where task folders of that kind lie; for this user alone, made again if it is gone."""
        place = self._places[kind]
        if kind not in self._made or not place.is_dir():
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            if kind in self._made:
                os.close(self._made.pop(kind))
            self._made[kind] = os.open(place / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._made[kind], fcntl.LOCK_SH)
        return place

    def shared(self, quota_gib: float | None) -> SharedPlace:
        """Where data lie that all workers share; a quarter of the free RAM disk if nobody says.

        Where a disk of the node takes no folder, they lie with the campaign's files.
        """
        disk = self._usable("local", "none")
        ram = self._usable("ram", "local", "none")
        if quota_gib is None:
            quota_gib = shutil.disk_usage(ram).free / 4 / _GIB
        if ram == disk:
            quota_gib = 0.0
        return SharedPlace(ram / "shared", disk / "shared", quota_gib)

    def _usable(self, *kinds: Scratch) -> Path:
        for kind in kinds[:-1]:
            with suppress(OSError):
                return self.place(kind)
        return self.place(kinds[-1])

    def clear(self) -> None:
        """Remove everything, also what an agent of the same id left behind."""
        while self._made:
            os.close(self._made.popitem()[1])
        for place in set(self._places.values()):
            shutil.rmtree(place, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what agents left on this node that were killed and have no successor."""
        mine = set(self._places.values())
        for base in {self._places["local"].parent, self._places["ram"].parent}:
            for place in set(base.glob(f"{self._prefix}*")) - mine:
                if _is_abandoned(place):
                    shutil.rmtree(place, ignore_errors=True)


def _is_abandoned(place: Path) -> bool:
    """Whether nobody holds a place; one without a lock may be just about to get it."""
    try:
        lock = os.open(place / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def task_folder(place: Path, job: str, ref: AttemptRef) -> Path:
    """The folder of one attempt."""
    return place / f"{job}-{ref.ordinal}-{ref.epoch}.{ref.n}"


def bytes_in(folder: Path) -> int:
    """How much the files below a folder take on the disk."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(os.path.join(root, name))  # noqa: PTH118 - thousands of names
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                total += status.st_blocks * 512
    return total
