"""Node: what becomes of tasks here, from the buffer through workers to results."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stargen.carrying import CHECKPOINT_NAMES, Piece, read_piece, take_piece
from stargen.errors import RemoteProtocolError, WorkerDied
from stargen.executing.buffer import TaskBuffer
from stargen.executing.capacity import Capacity
from stargen.executing.cgroups import MemoryGroups
from stargen.executing.checkpoints import Checkpoints
from stargen.executing.dispatcher import Dispatcher, Flight
from stargen.executing.faults import fault_of
from stargen.executing.inputs import Inputs
from stargen.executing.interest import Interest, last_words
from stargen.executing.limits import Limits
from stargen.executing.monitor import PAGE_GIB, Monitor, Sample, Use
from stargen.executing.options import AgentOptions, topology
from stargen.executing.outcomes import Outcomes
from stargen.executing.pool import WorkerPool
from stargen.executing.results import Results
from stargen.executing.staging import ScratchSpace, task_folder
from stargen.executing.worker import Worker
from stargen.messages import AttemptRef, DefineJob, KeptPart, Load, Look, RunningTask, RunTasks
from stargen.model import AttemptId, Failure
from stargen.processes import (
    AGENT_MARK,
    end_session,
    marked_attempts,
    out_of_memory_kills,
    process_of,
    signal_all,
)
from stargen.scheduling.nodelist import resources_from

log = logging.getLogger(__name__)

_IDLE_WORKERS_PER_CORE = 2
_LINGER_S = 0.2
_LOOK_S, _LONGEST_LOOK_S, _LOOK_SHARE = 1.0, 5.0, 0.02
"""Between two samples: more where they take more than this share of the time, as they do when the
machine has far too much to do already."""
_SWEEP_EVERY = 5
"""Samples between two searches for processes that outlived their attempt."""


class Node:
    """The tasks of one node.

    Parameters
    ----------
    group : where what goes on in the background runs
    options : what the node may give, and its patience
    mark : what the environment of everything that it starts bears
    results : where outcomes go
    scratch : where task folders lie
    memory : control groups that hold workers and programs to their memory, where there can be any
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        options: AgentOptions,
        mark: str,
        results: Results,
        scratch: ScratchSpace,
        *,
        memory: MemoryGroups | None = None,
    ) -> None:
        self.closed: str | None = None
        """Why no more work is accepted; None if it is."""
        devices = topology(options.resources)
        self._group = group
        self._mark = mark
        self._results = results
        self._scratch = scratch
        self._folder = options.campaign_folder
        self._checkpoints = Checkpoints(self._folder / "checkpoints", group, self._carry)
        self.inputs = Inputs(self._folder / "inputs", results.say)
        self._monitor = Monitor(
            {"state": options.state, "scratch": scratch.place("local"), "RAM": scratch.place("ram")}
        )
        self._samples: deque[Sample] = deque(
            [Sample(out_of_memory_kills=out_of_memory_kills())], maxlen=3
        )
        self._interest = Interest()
        self._buffer = TaskBuffer(Capacity(options.resources, devices))
        self._pool = WorkerPool(
            group,
            options.state / "workers",
            {**os.environ, AGENT_MARK: mark},
            pinned=devices.pinned,
            most_idle=_IDLE_WORKERS_PER_CORE * max(1, options.resources.cores),
            idle_s=options.idle_s,
            grace_s=options.grace_s,
            memory=memory,
            shared=scratch.shared(options.shared_gib),
            on_messages=self._worker_says,
            on_end=self._worker_ended,
        )
        self._dispatcher = Dispatcher(
            self._buffer, self._pool, self._checkpoints, scratch.place, self._in_trouble
        )
        self._limits = Limits(self._dispatcher, options.grace_s)
        self._outcomes = Outcomes(
            self._dispatcher, self._limits, results, self._checkpoints, self._memory_ran_out
        )

    # --- orders -----------------------------------------------------------------------------------

    def define(self, job: DefineJob) -> None:
        """Learn of a job; its files lie in folders of our own if we see no others."""
        if job.apart:
            self.inputs.want(job)
            own = str(self._folder)
            job = replace(job, campaign_folder=own, input_folder=str(self._folder / "inputs"))
        self._dispatcher.define(job)

    def take_kept(self, part: KeptPart) -> None:
        """A piece of the checkpoint that an earlier attempt elsewhere has left."""
        job = self._dispatcher.jobs.get(part.job)
        if job is not None and part.name in CHECKPOINT_NAMES:
            path = self._checkpoints.place(job.name, part.ordinal) / part.name
            take_piece(path, Piece(part.offset, part.data, part.last))

    async def _carry(self, name: str, ordinal: int) -> None:
        """Send the master what is kept of a task, if it does not see it."""
        job = next((job for job in self._dispatcher.jobs.values() if job.name == name), None)
        if job is None or not job.apart:
            return
        for file in CHECKPOINT_NAMES:
            path = self._checkpoints.place(name, ordinal) / file
            offset, last = 0, not path.is_file()
            while not last:
                piece = await asyncio.to_thread(read_piece, path, offset)
                offset, last = offset + len(piece.data), piece.last
                self._results.say(KeptPart(job.job, ordinal, file, *piece))

    def accept(self, run: RunTasks, epoch: int) -> None:
        """Let tasks of this master wait for their turn, or say why not.

        Raises
        ------
        RemoteProtocolError : the job was never defined
        """
        if run.job not in self._dispatcher.jobs:
            raise RemoteProtocolError(f"tasks of job {run.job}, which was never defined")
        refs = [AttemptRef(run.job, order.ordinal, epoch, order.n) for order in run.tasks]
        closed = self.closed or ("its spool is full" if self._results.spool.full else None)
        if closed is not None:
            self._results.gave_back(refs, closed)
            return
        try:
            resources = resources_from(run.resources)
            line = self._buffer.accept(run.job, resources, run.priority, epoch, run.tasks)
            if run.hosts:
                self._dispatcher.hosts |= {AttemptId(epoch, o.n): run.hosts for o in run.tasks}
        except ValueError as error:
            self._in_trouble(refs, str(error))
            return
        hungry = [slot for slot in self._dispatcher.slots if slot.line is line]
        self._dispatcher.feed(time.monotonic(), hungry)

    def cancel(self, refs: Iterable[AttemptRef], reason: str, *, soft: bool) -> None:
        """Let these end, started or not, without blame."""
        refs = list(refs)
        waiting = self._buffer.remove(refs)
        self._results.gave_back(waiting, reason)
        now = time.monotonic()
        for ref in refs:
            self._limits.stop(ref, now, reason=reason, soft=soft)

    def take_back(self, job: int, count: int) -> None:
        """Give unstarted tasks back to the master."""
        self._results.gave_back(self._buffer.give_back(job, count), "taken back")

    def give_back_waiting(self, reason: str) -> None:
        """Give all unstarted tasks back."""
        self._results.gave_back(self._buffer.remove(self._buffer.refs()), reason)

    def keep_only(self, refs: Iterable[AttemptRef]) -> None:
        """The master has settled what is to go on here; all else is stopped."""
        wanted = set(refs)
        unwanted = [ref for ref in self.in_hand() if ref not in wanted]
        self.cancel(unwanted, "the master does not want it any more", soft=False)

    def stop_all(self, reason: str, *, soft: bool) -> None:
        """Let everything end: tasks that can, save their state first if `soft`."""
        self.closed = reason
        self.give_back_waiting(reason)
        for ref in self._dispatcher.in_hand():
            job = self._dispatcher.jobs[ref.job]
            saves = job.checkpoint != "none" or len(job.steps) > 1
            self.cancel([ref], reason, soft=soft and saves)

    def in_hand(self) -> list[AttemptRef]:
        """Every attempt that was accepted and has not ended."""
        return [*self._dispatcher.in_hand(), *self._buffer.refs()]

    # --- what happens -----------------------------------------------------------------------------

    def _worker_says(self, worker: Worker, payloads: list[bytes]) -> None:
        hungry = self._outcomes.hear(payloads)
        if hungry:
            worker.was_useful = True
            self._dispatcher.feed(time.monotonic(), hungry)

    def _worker_ended(self, worker: Worker, code: int | None) -> None:
        if self._dispatcher.slots_of(worker):
            log.warning("%r ended with return code %s while it had tasks", worker, code)
        orphans = self._outcomes.died(worker, code)
        if worker.kind.programs is not None:
            self._group.create_task(self._end_programs(orphans))
        self._dispatcher.feed(time.monotonic())

    def _in_trouble(self, refs: list[AttemptRef], problem: str) -> None:
        """Tasks that cannot be run here, through no fault of theirs."""
        log.error("%d tasks cannot run: %s", len(refs), problem)
        error = WorkerDied(problem)
        faults = [fault_of(error, ref) for ref in refs]
        self._results.failed([f._replace(failure=Failure.INFRASTRUCTURE.value) for f in faults])

    # --- time -------------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Several times a second: limits, dead workers, who may start now."""
        self._pool.look(now)
        running = self._dispatcher.running()
        self._limits.look(now, self._rss(running), self._samples[-1].scratch)
        self._dispatcher.close_dry_slots(now - _LINGER_S, now)
        self._dispatcher.feed(now)

    def attract(self, look: Look) -> None:
        """Somebody wants to know more for a while."""
        self._interest.take(look, time.monotonic())

    async def watch(self) -> None:
        """Take a sample of the node every second or so, and now and then look for strays."""
        count = 0
        while True:
            began = time.monotonic()
            leaders = {worker.pid for worker in self._pool.workers.values()}
            leaders |= {*self._outcomes.programs.values()}
            sample = await asyncio.to_thread(self._monitor.sample, self._limited_folders(), leaders)
            self._samples.append(sample)
            for worker in self._pool.workers.values():
                worker.rss_gib = sample.memory_of(worker.pid)
            pause_s = (time.monotonic() - began) / _LOOK_SHARE
            if self._results.has_master and self._interest.due(time.monotonic()):
                self._results.say(self.load())
            count += 1
            programs = any(job.program for job in self._dispatcher.jobs.values())
            if programs and count % _SWEEP_EVERY == 0:
                await self._sweep()
            await asyncio.sleep(min(max(_LOOK_S, pause_s), _LONGEST_LOOK_S))

    def load(self) -> Load:
        """How the node and its tasks are doing."""
        sample = self._samples[-1]
        now = time.monotonic()
        closely = self._interest.closely(now)
        running = self._dispatcher.running()
        rss = self._rss(running)
        rows: list[RunningTask] = []
        for flight in running:
            attempt = AttemptId(flight.cell.epoch, flight.cell.n)
            done, total = self._outcomes.progress.get(attempt, (0.0, 0.0))
            elapsed_s = now - flight.cell.since
            use = sample.use.get(self._leader(flight), Use())
            rss_gib = rss.get(attempt, 0.0)
            rows.append(
                RunningTask(*flight.ref, elapsed_s, done, total, rss_gib, use.cores, use.io_mib_s)
            )
        return Load(
            sample.cpu_percent,
            sample.memory_used_gib,
            sample.memory_total_gib,
            sample.disk_free_gib,
            len(self._buffer),
            rows,
            sample.gpus,
            sample.pressure.get("io", 0.0),
            sample.celsius,
            sum(sample.scratch.values()),
            sample.cores if closely else [],
            self._said(running) if closely else [],
            sample.pressure.get("cpu", 0.0),
            sample.pressure.get("memory", 0.0),
            sample.disks,
        )

    def _said(self, running: list[Flight]) -> list[Any]:
        """The ends of what those tasks wrote that somebody looks at."""
        found: list[Any] = []
        for slot, ref, _ in running:
            if self._interest.wants(ref):
                place = self._scratch.place(slot.line.resources.scratch)
                folder = task_folder(place, slot.job.name, ref)
                found.append([ref.job, ref.ordinal, last_words(folder, slot.worker.log)])
        return found

    async def settle_checkpoints(self) -> None:
        """Wait until every checkpoint is written."""
        await self._checkpoints.settle()

    def _rss(self, running: list[Flight]) -> dict[AttemptId, float]:
        """Memory of running attempts, GiB; fresh where there is a limit to watch."""
        sample = self._samples[-1]
        found: dict[AttemptId, float] = {}
        for flight in running:
            slot, _, cell = flight
            leader = self._leader(flight)
            used = sample.memory_of(leader)
            if leader and slot.line.resources.memory_gib:
                process = process_of(leader)
                used = max(used, process.rss_pages * PAGE_GIB if process is not None else 0.0)
            found[AttemptId(cell.epoch, cell.n)] = used
        return found

    def _leader(self, flight: Flight) -> int:
        """The process whose session or group an attempt is; 0 for a program not known yet."""
        worker = flight.slot.worker
        if not worker.kind.is_host:
            return worker.pid
        return self._outcomes.programs.get(AttemptId(flight.cell.epoch, flight.cell.n), 0)

    def _limited_folders(self) -> dict[AttemptId, Path]:
        """Folders of running attempts that have a quota."""
        return {
            AttemptId(cell.epoch, cell.n): task_folder(
                self._scratch.place(slot.line.resources.scratch), slot.job.name, ref
            )
            for slot, ref, cell in self._dispatcher.running()
            if slot.line.resources.scratch_gib > 0
        }

    def _memory_ran_out(self) -> bool:
        return out_of_memory_kills() > self._samples[0].out_of_memory_kills

    async def _end_programs(self, leaders: list[int]) -> None:
        """A host of programs is gone: so must be what it ran."""
        for leader in leaders:
            await asyncio.to_thread(end_session, leader, grace_s=0.0)
        await self._sweep()

    async def _sweep(self) -> None:
        """Kill external programs whose attempt is over, wherever they have hidden."""
        found = await asyncio.to_thread(marked_attempts, self._mark)
        live = {f"{job}/{ordinal}/{epoch}.{n}" for job, ordinal, epoch, n in self.in_hand()}
        strays = [pid for pid, attempt in found.items() if attempt not in live]
        if strays:
            log.warning("processes outlived their task: %s", strays)
            signal_all(strays, signal.SIGKILL)
