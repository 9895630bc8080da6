"""What every Context shares: randomness by seed, births of a source, the step's parameters.

The runner on a node and the kit for plugin tests both build on `BaseContext`, so that a calculator
meets the same behaviour in its tests and in a campaign.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from stargen.codec import pack
from stargen.crystal import Candidate, Crystal, Drop, Scalar
from stargen.model import Chemistry, Resources


class BaseContext(ABC):
    """The part of a Context that does not depend on where the calculator runs.

    One context serves one step of one job for the life of its worker; `begin` and the attributes
    below `chemistry` are set anew for each task.

    Parameters
    ----------
    job, use : names of the job and of the step's calculator
    params : the step's parameters, an instance of the dataclass that its info names
    seed : the campaign's seed
    chemistry : the campaign's limits on elements
    input_folder : what relative paths in parameters are relative to
    """

    def __init__(
        self,
        *,
        job: str,
        use: str,
        params: Any,
        seed: int,
        chemistry: Chemistry,
        input_folder: Path,
    ) -> None:
        self.job = job
        self.use = use
        self.params = params
        self.seed = seed
        self.chemistry = chemistry
        self.input_folder = input_folder
        self.resources = Resources()
        self.devices: tuple[int, ...] = ()
        self.hosts: tuple[str, ...] = ()
        self.ordinals = range(0)
        self.kept: Sequence[Candidate] = ()
        self.source_end: int | None = None
        self._random = blake2b(pack((seed, job, use)), digest_size=16)

    def begin(self, ordinals: range) -> None:
        """Forget the last task; the next is to make `ordinals` (empty unless a source)."""
        self.ordinals = ordinals
        self.kept = ()
        self.source_end = None

    def rng(self, *key: int | str) -> np.random.Generator:
        """Random numbers that depend on the campaign's seed, the job, the step and `key` alone."""
        digest = self._random.copy()
        digest.update(pack(key))
        words = np.frombuffer(digest.digest(), dtype="<u4")
        return np.random.Generator(np.random.PCG64(words))

    def birth(self, ordinal: int, crystal: Crystal, **properties: Scalar) -> Candidate:
        """A source's new candidate."""
        return Candidate(birth_id(self.job, ordinal), crystal, properties)

    def stillborn(self, ordinal: int, reason: str, detail: str = "") -> Drop:
        """A source's verdict that this ordinal gives no candidate."""
        return Drop(birth_id(self.job, ordinal), reason, detail)

    def end_of_source(self, ordinal: int) -> None:
        """No ordinal >= `ordinal` exists; the lowest one said counts."""
        self.source_end = ordinal if self.source_end is None else min(self.source_end, ordinal)

    def input_file(self, path: str) -> Path:
        """A file that the parameters name, relative to the campaign file's folder."""
        return self.input_folder / Path(path).expanduser()

    @abstractmethod
    def shared(self, key: str, make: Callable[[Path], None]) -> Path:
        """The folder of this key, which `make` fills once on each node; only to be read."""

    def shared_file(self, path: Path) -> Path:
        """A copy of a file in the node's memory, or on its own disk if it is large."""

        def copy(folder: Path) -> None:
            shutil.copyfile(path, folder / path.name)

        return self.shared(file_key(path), copy) / path.name

    def shared_arrays(
        self, key: str, build: Callable[[], Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """The arrays that `build` returns, built once on each node and mapped by all its workers.

        They can be read and not written to.
        """

        def save(folder: Path) -> None:
            for name, array in build().items():
                np.save(folder / f"{name}.npy", array)

        folder = self.shared(key, save)
        return {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}

    @property
    @abstractmethod
    def folder(self) -> Path:
        """The task's scratch folder; made on first use, removed after the task."""

    @property
    @abstractmethod
    def stop_requested(self) -> bool:
        """True once the task should save a checkpoint and return soon."""

    @abstractmethod
    def progress(self, done: float, total: float) -> None:
        """Say how far the task is."""

    @abstractmethod
    def checkpoint(self, state: bytes) -> None:
        """Keep `state` for a later attempt at this task."""

    @abstractmethod
    def resume(self) -> bytes | None:
        """The last state kept by an earlier attempt, or None."""


def file_key(path: Path) -> str:
    """A key that changes with the file: its path, its size and when it was written."""
    status = path.stat()
    return f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"


def birth_id(job: str, ordinal: int) -> str:
    """The id of a source's candidate."""
    return f"{job}/{ordinal}"
