"""Outcomes: what workers say, and what their deaths mean for the tasks that they had."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterable
from functools import partial

from stargen.errors import RemoteProtocolError, TaskError
from stargen.executing.board import Phase
from stargen.executing.checkpoints import Checkpoints
from stargen.executing.dispatcher import Dispatcher, Slot, attempts_of
from stargen.executing.faults import died, fault_of, tail
from stargen.executing.limits import Limits, Stop
from stargen.executing.results import Results
from stargen.executing.spool import refs_of
from stargen.executing.worker import Worker
from stargen.messages import (
    Advanced,
    AttemptRef,
    Checkpointed,
    DefineJob,
    GaveBack,
    Ready,
    Spawned,
    TasksDone,
    TasksFailed,
    decode,
)
from stargen.model import AttemptId, Failure

log = logging.getLogger(__name__)


class Outcomes:
    """Turns messages and deaths of workers into results for the master.

    Parameters
    ----------
    memory_ran_out : whether the kernel has lately killed something for want of memory
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        limits: Limits,
        results: Results,
        checkpoints: Checkpoints,
        memory_ran_out: Callable[[], bool],
    ) -> None:
        self._dispatcher = dispatcher
        self._limits = limits
        self._results = results
        self._checkpoints = checkpoints
        self._memory_ran_out = memory_ran_out
        self.progress: dict[AttemptId, tuple[float, float]] = {}
        """(done, total) of running attempts that said so."""
        self.programs: dict[AttemptId, int] = {}
        """Process group of the external program that an attempt runs."""

    # --- what workers say -------------------------------------------------------------------------

    def hear(self, payloads: Iterable[bytes]) -> set[Slot]:
        """Take in what a worker said; returns the slots that have less in hand now.

        Raises
        ------
        RemoteProtocolError : it is no message, or speaks of what the worker was never given
        """
        hungry: set[Slot] = set()
        for payload in payloads:
            match decode(payload):
                case TasksDone() as done:
                    hungry |= self._done(done, payload)
                case TasksFailed() as failed:
                    hungry |= self._failed(failed)
                case GaveBack() as given:
                    hungry |= self._gave_back(given.attempts)
                case Checkpointed() as kept:
                    self._checkpoints.keep(self._job(kept.job).name, kept.ordinal, kept.state)
                case Advanced() as advanced:
                    attempt = AttemptId(advanced.epoch, advanced.n)
                    self.progress[attempt] = (advanced.done, advanced.total)
                case Spawned() as spawned:
                    self.programs[AttemptId(spawned.epoch, spawned.n)] = spawned.pid
                case Ready() as ready:
                    log.info("job %d loaded in %.2f s", ready.job, ready.load_s)
                case _:
                    pass  # of a later minor version
        return hungry

    def _job(self, number: int) -> DefineJob:
        job = self._dispatcher.jobs.get(number)
        if job is None:
            raise RemoteProtocolError(f"a worker speaks of job {number}, which was never defined")
        return job

    def _done(self, done: TasksDone, payload: bytes) -> set[Slot]:
        job = self._job(done.job)
        refs = refs_of(done)
        durations = [row.duration_s for row in done.rows]
        self._results.keep(payload, refs, max(durations, default=0.0))
        self._dispatcher.pace.learn(done.job, durations)
        attempts = attempts_of(refs)
        for attempt in attempts:
            self._forget(attempt)
        if job.checkpoint != "none" or len(job.steps) > 1:
            for ref in refs:
                self._checkpoints.forget(job.name, ref.ordinal)
        return self._dispatcher.landed(attempts)

    def _failed(self, failed: TasksFailed) -> set[Slot]:
        for fault in failed.rows:
            ref = AttemptRef(fault.job, fault.ordinal, fault.epoch, fault.n)
            stop = self._forget(AttemptId(fault.epoch, fault.n))
            if stop is None:
                self._report(ref, partial(self._results.failed, [fault]))
            else:
                self._report_stop(ref, stop)
        return self._dispatcher.landed(AttemptId(fault.epoch, fault.n) for fault in failed.rows)

    def _gave_back(self, refs: list[AttemptRef]) -> set[Slot]:
        """Attempts that were stopped, and tasks that never started: these wait here again."""
        stopped: list[AttemptId] = []
        unstarted: list[AttemptId] = []
        for ref in refs:
            attempt = AttemptId(ref.epoch, ref.n)
            stop = self._forget(attempt)
            if stop is None:
                unstarted.append(attempt)
            else:
                stopped.append(attempt)
                self._report_stop(ref, stop)
        return self._dispatcher.landed(stopped) | self._dispatcher.returned(unstarted)

    def _report_stop(self, ref: AttemptRef, stop: Stop) -> None:
        """The end of a stop is told as the failure that it stands for, or as given back."""
        if stop.error is not None:
            fault = fault_of(stop.error, ref)
            self._report(ref, partial(self._results.failed, [fault]))
        else:
            self._report(ref, partial(self._results.gave_back, [ref], stop.reason))

    def _report(self, ref: AttemptRef, tell: Callable[[], None]) -> None:
        """Tell the master, once the attempt's checkpoint is where the next attempt looks for it."""
        self._checkpoints.afterwards(self._job(ref.job).name, ref.ordinal, tell)

    def _forget(self, attempt: AttemptId) -> Stop | None:
        self.progress.pop(attempt, None)
        self.programs.pop(attempt, None)
        return self._limits.why(attempt)

    # --- when workers die -------------------------------------------------------------------------

    def died(self, worker: Worker, code: int | None) -> list[int]:
        """The worker is gone: who is to blame, who waits again. Returns orphaned process groups."""
        slots = self._dispatcher.slots_of(worker)
        blamed = self._blamed(worker, slots, code)
        error = self._cause_of_death(worker, code)
        ended: list[AttemptId] = []
        orphans: list[int] = []
        for slot in slots:
            for attempt in list(slot.flying):
                ref = slot.ref(attempt)
                orphans.append(self.programs.get(attempt, 0))
                stop = self._forget(attempt)
                if stop is not None:
                    self._report_stop(ref, stop)
                elif attempt in blamed:
                    fault = fault_of(error, ref)
                    if not blamed[attempt]:
                        fault = fault._replace(failure=Failure.INFRASTRUCTURE.value)
                    self._report(ref, partial(self._results.failed, [fault]))
                else:
                    continue
                ended.append(attempt)
        self._dispatcher.landed(ended)
        self._dispatcher.bury(worker)
        return [pid for pid in orphans if pid]

    def _blamed(self, worker: Worker, slots: list[Slot], code: int | None) -> dict[AttemptId, bool]:
        """{attempt that was under way: whether it may have killed the worker}.

        It may if Python code ran for it; if an external program did, the death of its host is no
        fault of its own. If none was under way, and the worker died without ever having done
        anything, the first in hand is named, lest workers are started for ever.
        """
        under_way: dict[AttemptId, bool] = {}
        for slot in slots:
            cell = slot.cell
            attempt = AttemptId(cell.epoch, cell.n)
            if cell.busy and attempt in slot.flying:
                under_way[attempt] = cell.phase == Phase.PYTHON
        if not under_way and code != 0 and not worker.was_useful:
            first = next((attempt for slot in slots for attempt in slot.flying), None)
            if first is not None:
                under_way[first] = worker.greeted
        return under_way

    def _cause_of_death(self, worker: Worker, code: int | None) -> TaskError:
        memory = False
        if code == -signal.SIGKILL:
            known = worker.ran_out_of_memory
            memory = self._memory_ran_out() if known is None else known
        slots = self._dispatcher.slots_of(worker)
        granted = sum(slot.line.resources.memory_gib for slot in slots)
        return died(code, memory=memory, granted_gib=granted, detail=tail(worker.log))
