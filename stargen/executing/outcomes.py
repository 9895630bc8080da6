"""Outcomes: what workers say, and what their deaths mean for the tasks that they had."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterable

from stargen.errors import TaskError
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
    GaveBack,
    Ready,
    Spawned,
    TaskFault,
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
        """Take in what a worker said; returns the slots that have less in hand now."""
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
                    name = self._dispatcher.jobs[kept.job].name
                    self._checkpoints.keep(name, kept.ordinal, kept.state)
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

    def _done(self, done: TasksDone, payload: bytes) -> set[Slot]:
        refs = refs_of(done)
        durations = [row.duration_s for row in done.rows]
        self._results.keep(payload, refs, max(durations))
        self._dispatcher.pace.learn(done.job, durations)
        attempts = attempts_of(refs)
        for attempt in attempts:
            self._forget(attempt)
        job = self._dispatcher.jobs[done.job]
        if job.checkpoint != "none" or len(job.steps) > 1:
            for ref in refs:
                self._checkpoints.forget(job.name, ref.ordinal)
        return self._dispatcher.landed(attempts)

    def _failed(self, failed: TasksFailed) -> set[Slot]:
        faults: list[TaskFault] = []
        for fault in failed.rows:
            ref = AttemptRef(fault.job, fault.ordinal, fault.epoch, fault.n)
            stop = self._forget(AttemptId(fault.epoch, fault.n))
            if stop is None:
                faults.append(fault)
            else:
                faults += self._stopped(ref, stop, fault.duration_s)
        self._results.failed(faults)
        return self._dispatcher.landed(AttemptId(fault.epoch, fault.n) for fault in failed.rows)

    def _gave_back(self, refs: list[AttemptRef]) -> set[Slot]:
        """Attempts that were stopped, and tasks that never started: these wait here again."""
        faults: list[TaskFault] = []
        stopped: list[AttemptId] = []
        unstarted: list[AttemptId] = []
        for ref in refs:
            attempt = AttemptId(ref.epoch, ref.n)
            stop = self._forget(attempt)
            if stop is None:
                unstarted.append(attempt)
            else:
                stopped.append(attempt)
                faults += self._stopped(ref, stop)
        self._results.failed(faults)
        return self._dispatcher.landed(stopped) | self._dispatcher.returned(unstarted)

    def _stopped(self, ref: AttemptRef, stop: Stop, duration_s: float = 0.0) -> list[TaskFault]:
        """Report the end of a stop: as the fault to send, or at once as given back."""
        if stop.error is not None:
            return [fault_of(stop.error, ref, duration_s)]
        self._results.gave_back([ref], stop.reason)
        return []

    def _forget(self, attempt: AttemptId) -> Stop | None:
        self.progress.pop(attempt, None)
        self.programs.pop(attempt, None)
        return self._limits.why(attempt)

    # --- when workers die -------------------------------------------------------------------------

    def died(self, worker: Worker, code: int | None) -> list[int]:
        """The worker is gone: who is to blame, who waits again. Returns orphaned process groups."""
        slots = self._dispatcher.slots_of(worker)
        blamed = self._blamed(worker, slots, code)
        error = self._cause_of_death(worker, code) if blamed else None
        faults: list[TaskFault] = []
        ended: list[AttemptId] = []
        orphans: list[int] = []
        for slot in slots:
            for attempt in list(slot.flying):
                ref = slot.ref(attempt)
                orphans.append(self.programs.get(attempt, 0))
                stop = self._forget(attempt)
                if stop is not None:
                    faults += self._stopped(ref, stop)
                elif attempt in blamed and error is not None:
                    faults.append(self._fault(worker, error, ref))
                else:
                    continue
                ended.append(attempt)
        self._results.failed(faults)
        self._dispatcher.landed(ended)
        self._dispatcher.bury(worker)
        return [pid for pid in orphans if pid]

    def _blamed(self, worker: Worker, slots: list[Slot], code: int | None) -> set[AttemptId]:
        """The attempts that may have killed their worker.

        Those whose Python code was running. If none was, and the worker died without ever having
        done anything, the first in hand takes the blame, lest workers are started for ever.
        """
        at_work: set[AttemptId] = set()
        for slot in slots:
            cell = slot.cell
            attempt = AttemptId(cell.epoch, cell.n)
            if cell.phase == Phase.PYTHON and attempt in slot.flying:
                at_work.add(attempt)
        if not at_work and code != 0 and not worker.was_useful:
            in_hand = [attempt for slot in slots for attempt in slot.flying]
            at_work.update(in_hand[:1])
        return at_work

    def _cause_of_death(self, worker: Worker, code: int | None) -> TaskError:
        memory = code == -signal.SIGKILL and self._memory_ran_out()
        return died(code, memory=memory, detail=tail(worker.log))

    def _fault(self, worker: Worker, error: TaskError, ref: AttemptRef) -> TaskFault:
        """A worker that could not even start is no fault of the task's."""
        fault = fault_of(error, ref)
        if worker.greeted:
            return fault
        return fault._replace(failure=Failure.INFRASTRUCTURE.value)
