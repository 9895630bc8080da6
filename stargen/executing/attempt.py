"""One try at a task as its worker sees it, and the Context that a calculator gets of it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from stargen.calculators.context import BaseContext
from stargen.calculators.steps import Batch
from stargen.carrying import place_of
from stargen.crystal import Candidate, decode_drops, decode_entry, encode_drops, encode_entry
from stargen.errors import BadResult, InputMissing, StargenError
from stargen.executing.checkpoints import Progress
from stargen.executing.costs import WORTH_TELLING_S, Costs, OwnProcess
from stargen.executing.inputs import is_whole
from stargen.executing.sharing import SharedStore
from stargen.executing.staging import task_folder
from stargen.messages import Advanced, AttemptRef, Checkpointed, Message, TaskDone

LONG_TASK_S = 10.0
"""A task that has run this long is worth a checkpoint after each of its steps."""

_MOST_RESULT_BYTES = 512 * 1024 * 1024
_PROGRESS_S = 1.0
_LISTEN_S = 0.1
_TRAVEL_S = 1800.0


class Stopped(StargenError):
    """The attempt was asked to stop, and did; what it had is saved."""


class Attempt:
    """What belongs to one try at a task while it runs.

    Parameters
    ----------
    ref : its name
    job : name of its job
    place : where its scratch folder is made if it is asked for
    state : the checkpoint of an earlier attempt, if there is one
    say : sends a message to the agent
    listen : reads what the agent has sent meanwhile; may call `stop`
    hosts : those that it has for itself, if it has several
    own : this process, if it computes here; None if its programs compute
    """

    __slots__ = (
        "_job",
        "_listen",
        "_listened_at",
        "_made",
        "_passed",
        "_place",
        "_said_at",
        "_say",
        "began",
        "costs",
        "duration_s",
        "hosts",
        "ref",
        "start",
        "state",
        "stopping",
    )

    def __init__(
        self,
        ref: AttemptRef,
        job: str,
        *,
        place: Path,
        state: bytes | None,
        say: Callable[[Message], None],
        listen: Callable[[], None],
        hosts: tuple[str, ...] = (),
        own: OwnProcess | None = None,
    ) -> None:
        self.ref = ref
        self.hosts = hosts
        self.began = time.monotonic()
        self.costs = Costs(self.began, own)
        self.stopping = False
        self.duration_s: float | None = None
        self.start = (Progress.decode(state) if state is not None else None) or Progress()
        self.state = self.start.state
        self._passed: Batch | None = None
        self._job = job
        self._place = place
        self._made: Path | None = None
        self._say = say
        self._listen = listen
        self._listened_at = self._said_at = self.began

    @property
    def folder(self) -> Path:
        """Its scratch folder, made now if need be."""
        if self._made is None:
            folder = task_folder(self._place, self._job, self.ref)
            folder.mkdir(parents=True, exist_ok=True)
            self._made = folder
        return self._made

    @property
    def has_folder(self) -> bool:
        return self._made is not None

    def clean(self) -> None:
        """Remove the scratch folder if it was made."""
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)

    def stop_requested(self) -> bool:
        """Whether to save and return; looks at the link now and then."""
        now = time.monotonic()
        if not self.stopping and now - self._listened_at >= _LISTEN_S:
            self._listened_at = now
            self._listen()
        return self.stopping

    def advance(self, done: float, total: float) -> None:
        """Tell the agent how far it is, about once a second."""
        now = time.monotonic()
        if now - self._said_at >= _PROGRESS_S:
            self._said_at = now
            self._say(Advanced(self.ref.n, done, total, self.ref.epoch))

    def batch(self, given: Callable[[], list[Candidate]], ordinals: range) -> Batch:
        """Where to begin: the given input, or where an earlier attempt left off."""
        start = self.start
        if start.entries is None:
            return Batch(given(), ordinals)
        return Batch(
            [decode_entry(entry) for entry in start.entries],
            drops=decode_drops(start.drops),
            end_of_source=start.end_of_source,
            done=start.done,
        )

    def end(self, steps: int) -> float:
        """So many steps are computed, in so many seconds: what is still to do counts no more."""
        self.duration_s = seconds = time.monotonic() - self.began
        if seconds >= WORTH_TELLING_S:
            self.costs.end_step(steps - 1)
        return seconds

    def result(self, batch: Batch) -> TaskDone:
        """What the task has come to, for the master.

        Raises
        ------
        BadResult : it cannot be written, or is too large to send
        """
        ref = self.ref
        entries = [encode_entry(candidate) for candidate in batch.candidates]
        if sum(map(len, entries)) > _MOST_RESULT_BYTES:
            raise BadResult(f"a result of more than {_MOST_RESULT_BYTES // 2**20} MiB")
        counts: dict[str, int] = {}
        for drop in batch.drops:
            counts[drop.reason] = counts.get(drop.reason, 0) + 1
        drops = encode_drops(batch.drops) if batch.drops else b""
        seconds = self.end(batch.done) if self.duration_s is None else self.duration_s
        end = batch.end_of_source
        costs = self.costs.rows if seconds >= WORTH_TELLING_S else []
        return TaskDone(ref.ordinal, ref.epoch, ref.n, seconds, entries, drops, counts, end, costs)

    def keep(self, state: bytes) -> None:
        """Keep the current step's state."""
        self.state = state
        self._save()

    def after_step(self, batch: Batch) -> None:
        """Between two steps: keep what is done if that is worth it, and stop if asked to.

        Raises
        ------
        Stopped : the agent asked to
        """
        self.costs.end_step(batch.done - 1)
        self._passed = replace(batch, drops=list(batch.drops))
        self.state = None
        stop = self.stop_requested()
        if stop or time.monotonic() - self.began >= LONG_TASK_S:
            self._save()
        if stop:
            raise Stopped("asked to stop")

    def _save(self) -> None:
        passed = self._passed
        progress = self.start
        if passed is not None:
            progress = Progress(
                passed.done,
                [encode_entry(candidate) for candidate in passed.candidates],
                encode_drops(passed.drops) if passed.drops else b"",
                passed.end_of_source,
            )
        progress = progress._replace(state=self.state)
        self._say(Checkpointed(self.ref.job, self.ref.ordinal, progress.encode()))


class TaskContext(BaseContext):
    """A Context on a node: the shared part, and what the attempt at hand offers."""

    attempt: Attempt
    store: SharedStore
    files: Mapping[str, bytes]
    """What has to travel before it can be read here, and how to tell that it has come whole."""

    def input_file(self, path: str) -> Path:
        stamp = self.files.get(path)
        if stamp is None:
            return super().input_file(path)
        deadline = time.monotonic() + _TRAVEL_S
        while not is_whole(self.input_folder, path, stamp):
            if time.monotonic() > deadline:
                raise InputMissing(f"{path} did not come in {_TRAVEL_S:g} s")
            time.sleep(_LISTEN_S)
        return place_of(self.input_folder, path)

    def shared(self, key: str, make: Callable[[Path], None]) -> Path:
        return self.store.folder(key, make)

    @property
    def folder(self) -> Path:
        return self.attempt.folder

    @property
    def stop_requested(self) -> bool:
        return self.attempt.stop_requested()

    def progress(self, done: float, total: float) -> None:
        self.attempt.advance(done, total)

    def checkpoint(self, state: bytes) -> None:
        self.attempt.keep(state)

    def resume(self) -> bytes | None:
        return self.attempt.state
