"""CalculatorRunner: takes task after task from the agent and runs calculators on them.

The main thread computes. It reads the link only when it has nothing to run, so that an order that
arrives at an idle worker is begun at once, without a hop between threads. While a task goes on for
longer than `LOOK_S`, a second thread looks after the link: it sends results that wait, gives back
tasks that the agent wants for somebody else, and passes on the wish that the task should stop.
"""

from __future__ import annotations

import gc
import threading
import time
from collections import deque
from pathlib import Path

from stargen.calculators.steps import run_steps
from stargen.crystal import decode_entry
from stargen.errors import LinkLost
from stargen.executing.attempt import Attempt, Stopped
from stargen.executing.board import Board
from stargen.executing.costs import OwnProcess
from stargen.executing.faults import fault_of
from stargen.executing.loading import LoadedJob
from stargen.executing.outbox import Outbox
from stargen.executing.queued import Queued, queued_of
from stargen.executing.sharing import SharedStore
from stargen.executing.sigterm import Sigterm
from stargen.messages import (
    AttemptRef,
    CancelTasks,
    Checkpointed,
    DefineJob,
    Granted,
    Ready,
    RunTasks,
    Shutdown,
    TakeBack,
    TaskDone,
    decode,
)
from stargen.model import Resources
from stargen.scheduling.nodelist import resources_from
from stargen.transport.blocking import BlockingLink

LOOK_S = 0.25
_HOLD_S = 0.002
_WORTH_FREEZING_S = 0.005
"""Loading that takes as long has brought modules or weights, and not just another job's steps."""
_WORTH_TELLING_S = 0.5
"""Loading that takes as long is told to the agent, at the price of a wake-up there."""
_LOOKS_BEFORE_SLEEP = 8


class CalculatorRunner:
    """One worker's side of the link."""

    def __init__(
        self, link: BlockingLink, board: Board, store: SharedStore, sigterm: Sigterm
    ) -> None:
        self._link = link
        self._store = store
        self._board = board
        self._outbox = Outbox(link.send_all, _HOLD_S)
        self._defined: dict[int, DefineJob] = {}
        self._jobs: dict[int, LoadedJob] = {}
        self._queue: deque[Queued] = deque()
        self._states: dict[tuple[int, int], bytes] = {}
        self._resources = Resources()
        self._own = OwnProcess()
        self._devices: tuple[int, ...] = ()
        self._folder = Path()
        self._current: Attempt | None = None
        self._leaving = False
        self._sigterm = sigterm
        sigterm.obeyed = self._is_stopping
        self._reading = threading.Lock()
        self._queueing = threading.Lock()
        self._second_thread_sleeps = True
        self._second_thread_wakes = threading.Event()

    def serve(self) -> None:
        """Work until the agent says Shutdown or is gone."""
        threading.Thread(target=self._look_after_link, daemon=True).start()
        try:
            while not self._leaving:
                with self._reading:
                    self._receive(None)
                while (queued := self._next()) is not None:
                    self._run(queued)
                    if self._outbox.due:
                        self._outbox.flush()
                self._outbox.flush()
        except LinkLost:
            self._leaving = True
        finally:
            for job in self._jobs.values():
                job.close()

    # --- one task -------------------------------------------------------------------------------

    def _run(self, queued: Queued) -> None:
        ref = queued.ref
        self._board.begin(0, ref.epoch, ref.n)
        job = self._job(ref.job)
        attempt = self._current = Attempt(
            ref,
            job.job.name,
            place=self._folder,
            state=self._states.pop((ref.job, ref.ordinal), None),
            say=self._outbox.say,
            listen=self._listen,
            hosts=queued.hosts,
            own=self._own,
        )
        if self._second_thread_sleeps:
            self._second_thread_sleeps = False
            self._second_thread_wakes.set()
        try:
            row = self._result(job, queued, attempt)
        except Stopped:
            self._outbox.gave_back([ref])
        except BaseException as error:
            self._fail(attempt, error)
            if isinstance(error, MemoryError):
                self._leaving = True  # who knows what is left whole in here
                self._queue.clear()
        else:
            self._outbox.done(ref.job, row)
        finally:
            self._current = None
            attempt.clean()
            self._board.end(0)

    def _job(self, number: int) -> LoadedJob:
        """The job as it was last defined; what was loaded for an earlier definition is closed."""
        defined, loaded = self._defined[number], self._jobs.get(number)
        if loaded is None or loaded.job is not defined:
            if loaded is not None:
                loaded.close()
            loaded = self._jobs[number] = LoadedJob(defined, self._store)
        return loaded

    def _result(self, job: LoadedJob, queued: Queued, attempt: Attempt) -> TaskDone:
        ref, order = queued.ref, queued.order
        if not job.is_open:
            began = time.monotonic()
            job.open(attempt, self._resources, self._devices)
            load_s = time.monotonic() - began
            if load_s >= _WORTH_FREEZING_S:
                gc.collect()
                gc.freeze()  # what was loaded stays: the collector need not walk over it again
            if load_s >= _WORTH_TELLING_S:
                self._outbox.say(Ready(ref.job, load_s))
        steps = job.enter(attempt, self._resources, self._devices)
        if order.steered:
            steps = job.steered(steps, order.steered)
        ordinals = range(order.lo, order.hi if job.is_source else 0)
        batch = attempt.batch(queued.candidates, ordinals)
        kept = [decode_entry(entry) for entry in order.kept]
        run_steps(steps, batch, kept=kept, after_step=attempt.after_step)
        return attempt.result(batch)

    def _fail(self, attempt: Attempt, error: BaseException) -> None:
        """A task that was asked to stop may end in any way: that is no failure of its own."""
        if self._sigterm.ends(attempt):
            self._outbox.gave_back([attempt.ref])
        else:
            duration_s = time.monotonic() - attempt.began
            self._outbox.failed(fault_of(error, attempt.ref, duration_s))

    # --- what the agent says --------------------------------------------------------------------

    def _next(self) -> Queued | None:
        with self._queueing:
            return self._queue.popleft() if self._queue else None

    def _listen(self) -> None:
        """Take in what has arrived, if nobody else is at it."""
        if self._reading.acquire(blocking=False):
            try:
                self._receive(0.0)
            finally:
                self._reading.release()

    def _receive(self, timeout_s: float | None) -> None:
        for payload in self._link.receive(timeout_s):
            match decode(payload):
                case RunTasks() as run:
                    with self._queueing:
                        self._queue += queued_of(run)
                case DefineJob() as job:
                    self._defined[job.job] = job
                case Granted() as granted:
                    self._resources = resources_from(granted.resources)
                    self._own.cores = max(1, self._resources.cores)
                    self._devices = tuple(range(len(granted.gpus)))
                    self._folder = Path(granted.folder)
                case Checkpointed() as kept:
                    self._states[kept.job, kept.ordinal] = kept.state
                case CancelTasks() as cancel:
                    self._cancel(set(cancel.attempts))
                case TakeBack() as wish:
                    self._give_back(wish)
                case Shutdown():
                    self._leaving = True
                    with self._queueing:
                        self._queue.clear()
                    self._stop_current()
                case _:
                    pass  # of a later minor version

    def _cancel(self, refs: set[AttemptRef]) -> None:
        with self._queueing:
            waiting = [queued.ref for queued in self._queue if queued.ref in refs]
            self._queue = deque(q for q in self._queue if q.ref not in refs)
        if waiting:
            self._outbox.gave_back(waiting)
        current = self._current
        if current is not None and current.ref in refs:
            self._stop_current()

    def _give_back(self, wish: TakeBack) -> None:
        with self._queueing:
            mine = [queued.ref for queued in self._queue if queued.ref.job == wish.job]
            given = set(mine[max(0, len(mine) - wish.count) :])
            self._queue = deque(q for q in self._queue if q.ref not in given)
        self._outbox.gave_back([ref for ref in mine if ref in given])
        self._outbox.flush()

    def _stop_current(self) -> None:
        if self._current is not None:
            self._current.stopping = True

    def _is_stopping(self) -> bool:
        current = self._current
        return self._leaving or (current is not None and current.stopping)

    # --- the second thread ----------------------------------------------------------------------

    def _look_after_link(self) -> None:
        """Every now and then while there is work; asleep when there has been none for a while."""
        idle_looks = 0
        while not self._leaving:
            time.sleep(LOOK_S)
            current = self._current
            if current is None:
                idle_looks += 1
                if idle_looks >= _LOOKS_BEFORE_SLEEP:
                    self._sleep_until_work()
                continue
            idle_looks = 0
            if time.monotonic() - current.began >= LOOK_S:
                try:
                    self._outbox.flush()
                    self._listen()
                except LinkLost:
                    self._leaving = True
                    current.stopping = True

    def _sleep_until_work(self) -> None:
        """`_run` sets what is at hand before it looks whether this thread sleeps, so one sees."""
        self._second_thread_wakes.clear()
        self._second_thread_sleeps = True
        if self._current is None:
            self._second_thread_wakes.wait()
