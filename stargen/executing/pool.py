"""WorkerPool: which processes there are, which of the idle ones suits a task, which must go.

A worker suits if it is of the right kind and has loaded the job already, or data of the same
affinity key; among workers without such data any will do, because what they load is light. Idle
workers keep their memory, so they are charged for it: the least recently used goes first when a
task needs the memory, when there are too many, or after `idle_s`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from stargen.executing.capacity import Grant
from stargen.executing.cgroups import MemoryGroups
from stargen.executing.staging import SharedPlace
from stargen.executing.worker import Worker, WorkerKind
from stargen.messages import DefineJob

_MOST_HOSTS = 4
"""Hosts of one job's programs: their threads wait for each other's Python, processes do not (with
two slots, two start a seventh more programs a second than one), but each takes some 25 MiB."""


class WorkerPool:
    """The workers of one agent.

    Parameters
    ----------
    group : where their attendance runs
    folder : for what they print
    environ : what their environment begins with
    pinned : whether to hold workers to their cores
    most_idle : more idle workers than this are let go
    idle_s : so are those that were idle for so long
    grace_s : for hosts of programs
    memory : where workers are held to their memory by the kernel; None if nowhere
    shared : where data lie that all of them share
    on_messages, on_end : as `Worker` has them
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        folder: Path,
        environ: Mapping[str, str],
        *,
        pinned: bool,
        most_idle: int,
        idle_s: float,
        grace_s: float,
        memory: MemoryGroups | None,
        shared: SharedPlace,
        on_messages: Callable[[Worker, list[bytes]], None],
        on_end: Callable[[Worker, int | None], None],
    ) -> None:
        self._group = group
        self._folder = folder
        self._environ = environ
        self._pinned = pinned
        self._most_idle = most_idle
        self._idle_s = idle_s
        self._grace_s = grace_s
        self._memory = memory
        self._shared = shared
        self._on_messages = on_messages
        self._on_end = on_end
        self._spawned = 0
        self.workers: dict[int, Worker] = {}

    def suited(
        self, job: DefineJob, cores: int, gpus: tuple[int, ...] | None, on: tuple[int, ...] = ()
    ) -> Worker | None:
        """The idle worker to take for a task of `job`, the most recently used of the best.

        Parameters
        ----------
        gpus : that it must see; None for any
        on : cores that it is better held to already
        """
        found = [
            worker
            for worker in self.workers.values()
            if worker.usable
            and worker.idle_since is not None
            and worker.kind.programs is None
            and worker.kind.cores == cores
            and (gpus is None or worker.kind.gpus == gpus)
            and _shares(worker, job)
        ]
        return max(
            found,
            key=lambda w: (job.job in w.jobs, w.cores == on, w.idle_since or 0.0),
            default=None,
        )

    def take(self, job: DefineJob, grant: Grant) -> Worker:
        """A worker for this grant: a warm one, or a new one. OSError if none can be started."""
        gpus = tuple(index for index, _ in grant.gpus)
        worker = self.suited(job, grant.resources.cores, gpus, grant.cores)
        if worker is None:
            worker = self._spawn(WorkerKind(None, grant.resources.cores, gpus))
        worker.idle_since = None
        worker.define(job)
        return worker

    def host(self, job: DefineJob, slots: Callable[[Worker], int]) -> Worker:
        """A host for one more of this job's programs. OSError if it must be started and cannot be.

        Parameters
        ----------
        slots : how many a worker has
        """
        hosts = [w for w in self.workers.values() if w.usable and w.kind.programs == job.job]
        worker = min(hosts, key=slots, default=None)
        if worker is None or (slots(worker) and len(hosts) < _MOST_HOSTS):
            worker = self._spawn(WorkerKind(job.job, 0, grace_s=self._grace_s))
        worker.idle_since = None
        worker.define(job)
        return worker

    def rest(self, worker: Worker, now: float) -> None:
        """It has nothing more to do."""
        worker.idle_since = now
        idle = self.idle()
        for superfluous in idle[: max(0, len(idle) - self._most_idle)]:
            self._dismiss(superfluous)

    def idle(self) -> list[Worker]:
        """Idle workers, the least recently used first."""
        idle = [w for w in self.workers.values() if w.idle_since is not None and w.usable]
        return sorted(idle, key=lambda worker: worker.idle_since or 0.0)

    def make_room(self, needed_gib: float, free_gib: float, spare: Worker | None) -> None:
        """Let idle workers go until `needed_gib` fit beside the rest; `spare` stays."""
        idle = [worker for worker in self.idle() if worker is not spare]
        free_gib -= sum(worker.rss_gib for worker in idle)
        for worker in idle:
            if needed_gib <= free_gib:
                break
            free_gib += worker.rss_gib
            self._dismiss(worker)

    def look(self, now: float) -> None:
        """Now and then: notice the dead, let go of those idle for too long."""
        for worker in list(self.workers.values()):
            worker.look()
            if worker.idle_since is not None and now - worker.idle_since > self._idle_s:
                self._dismiss(worker)

    def ended(self, worker: Worker) -> None:
        """It is gone."""
        self.workers.pop(worker.number, None)

    def _dismiss(self, worker: Worker) -> None:
        if worker.usable:
            worker.leave()

    def _spawn(self, kind: WorkerKind) -> Worker:
        self._folder.mkdir(parents=True, exist_ok=True)
        worker = Worker(
            self._spawned,
            kind,
            folder=self._folder,
            environ=self._environ,
            pinned=self._pinned,
            memory=self._memory,
            shared=self._shared,
            on_messages=self._on_messages,
            on_end=self._on_end,
        )
        self._spawned += 1
        self.workers[worker.number] = worker
        self._group.create_task(worker.attend())
        return worker


def _shares(worker: Worker, job: DefineJob) -> bool:
    """True if the worker has the job, or its data, or neither has heavy data."""
    if job.job in worker.jobs:
        return True
    return any(known.affinity == job.affinity for known in worker.jobs.values())
