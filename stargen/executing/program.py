"""ProgramHost: a process that supervises external programs of one job; each job has a few a node.

Three kinds of threads. The main one reads the link. One thread per slot takes the tasks of its
grant one after another, from preparing the input to collecting the result; it is held to the cores
of the grant, and what it starts inherits them. One more looks after programs that live long. Hosts
stay small and are the only processes that spawn programs, because spawning is dear from a large
one.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from functools import partial
from pathlib import Path

from stargen.devices import gpus_here
from stargen.errors import LinkLost
from stargen.executing.attempt import Attempt, Stopped
from stargen.executing.board import Board, Phase
from stargen.executing.cgroups import MemoryGroup, MemoryGroups
from stargen.executing.faults import fault_of
from stargen.executing.loading import LoadedJob
from stargen.executing.outbox import Outbox
from stargen.executing.outputs import SlotOutput
from stargen.executing.program_task import ProgramTask, Workplace
from stargen.executing.queued import Queued, queued_of
from stargen.executing.sharing import SharedStore
from stargen.executing.sigterm import EXIT_CODES, Sigterm
from stargen.executing.supervision import WATCH_S, Supervised, Surroundings
from stargen.executing.threads import thread_limits
from stargen.messages import (
    Advanced,
    AttemptRef,
    CancelTasks,
    Checkpointed,
    DefineJob,
    Granted,
    RunTasks,
    Shutdown,
    Spawned,
    TakeBack,
    TaskDone,
    TaskFault,
    decode,
)
from stargen.model import Resources
from stargen.processes import blocked_attempts, end_session
from stargen.scheduling.nodelist import resources_from
from stargen.transport.blocking import BlockingLink

LOOK_S = 0.2
_HOLD_S = 0.02
_WORTH_TELLING_S = 0.2


class ProgramHost:
    """The host's side of the link, and its slots.

    Parameters
    ----------
    grace_s : how long a program may take over each way of being stopped
    store : the node's shared data
    sigterm : what a batch system may send
    groups : folder for control groups that hold programs to their memory; None if there are none
    """

    def __init__(
        self,
        link: BlockingLink,
        board: Board,
        grace_s: float,
        store: SharedStore,
        sigterm: Sigterm,
        groups: Path | None = None,
    ) -> None:
        self._link = link
        self.board = board
        self.grace_s = grace_s
        self.store = store
        self.sigterm = sigterm
        self.groups = MemoryGroups(groups) if groups is not None else None
        self.nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.outbox = Outbox(link.send_all, _HOLD_S)
        self.job: DefineJob | None = None
        self.states: dict[int, bytes] = {}
        self._slots: dict[int, Slot] = {}
        self._leaving = threading.Event()

    def serve(self) -> None:
        """Work until the agent says Shutdown or is gone; leave no program behind."""
        threading.Thread(target=self._look, daemon=True).start()
        try:
            while not self._leaving.is_set():
                for payload in self._link.receive():
                    self._take(decode(payload))
        finally:
            self._leaving.set()
            for slot in self._slots.values():
                slot.abandon()

    def _take(self, message: object) -> None:
        match message:
            case RunTasks() as run:
                self._slots[run.slot].extend(run)
            case DefineJob() as job:
                self.job = job
            case Granted() as granted:
                slot = self._slots.get(granted.slot)
                if slot is None:
                    slot = self._slots[granted.slot] = Slot(self, granted)
                slot.granted = granted
            case Checkpointed() as kept:
                self.states[kept.ordinal] = kept.state
            case CancelTasks() as cancel:
                for slot in self._slots.values():
                    slot.cancel(set(cancel.attempts), softly=cancel.soft)
            case TakeBack() as wish:
                self.outbox.gave_back(self._slots[wish.slot].give_back(wish.count))
                self.outbox.flush()
            case Shutdown():
                self._leaving.set()
            case _:
                pass  # of a later minor version

    def _look(self) -> None:
        """The second thread: programs that live long, results that wait."""
        next_sample_at = 0.0
        while not self._leaving.wait(LOOK_S):
            try:
                now = time.monotonic()
                living = [slot for slot in list(self._slots.values()) if slot.runs_long(now)]
                if living and now >= next_sample_at:
                    next_sample_at = now + WATCH_S
                    blocked = blocked_attempts()
                    for slot in living:
                        slot.note_blocked(blocked)
                for slot in living:
                    slot.look(now)
                self.outbox.flush()
            except LinkLost:
                return  # the main thread sees it too, and ends everything


class Slot:
    """One grant: a thread, its tasks, and the program that it runs now."""

    def __init__(self, host: ProgramHost, granted: Granted) -> None:
        self.granted = granted
        self._host = host
        self._number = granted.slot
        self._queue: deque[Queued] = deque()
        self._changed = threading.Condition()
        self._starting = threading.Lock()
        self._attempt: Attempt | None = None
        self._running: Supervised | None = None
        self._loaded: LoadedJob | None = None
        self._arranged_for: Granted | None = None
        self._environ: dict[bytes, bytes] = {}
        self._resources = Resources()
        self._place = Path()
        self._printed = SlotOutput(Path())
        self._plain = Workplace(Path(), None, self._printed)
        self._group: MemoryGroup | None = None
        threading.Thread(target=self._work, daemon=True).start()

    # --- for the host's other threads -------------------------------------------------------------

    def extend(self, run: RunTasks) -> None:
        """More tasks."""
        more = queued_of(run)
        for queued in more:
            queued.decode()
        with self._changed:
            self._queue += more
            self._changed.notify()

    def give_back(self, count: int) -> list[AttemptRef]:
        """Take out up to `count` tasks that have not started, the newest first."""
        with self._changed:
            return [self._queue.pop().ref for _ in range(min(count, len(self._queue)))]

    def cancel(self, refs: set[AttemptRef], *, softly: bool) -> None:
        """Do not start these; stop the one that runs."""
        with self._changed:
            waiting = [queued.ref for queued in self._queue if queued.ref in refs]
            self._queue = deque(queued for queued in self._queue if queued.ref not in refs)
        if waiting:
            self._host.outbox.gave_back(waiting)
            self._host.outbox.flush()
        with self._starting:
            attempt, running = self._attempt, self._running
            if attempt is None or attempt.ref not in refs:
                return
            attempt.stopping = True
        if running is not None:
            running.stop(softly=softly)

    def runs_long(self, now: float) -> bool:
        """Whether it runs a program that is worth looking after."""
        running = self._running
        return running is not None and now - running.began >= _WORTH_TELLING_S

    def note_blocked(self, attempts: Set[str]) -> None:
        """Of these attempts a process was seen to wait for a disk."""
        if self._running is not None:
            self._running.note_blocked(attempts)

    def look(self, now: float) -> None:
        """Tell the agent of a program that lives on, watch it, go on with stopping it."""
        attempt, running = self._attempt, self._running
        if attempt is None or running is None:
            return
        ref, outbox = attempt.ref, self._host.outbox
        if not running.told:
            running.told = True
            outbox.say(Spawned(ref.n, running.pid, ref.epoch))
        progress = running.look(now)
        if progress is not None:
            outbox.say(Advanced(ref.n, progress.done, progress.total, ref.epoch))

    def abandon(self) -> None:
        """The host goes: nothing more is started, what runs is killed, with proof."""
        with self._changed:
            self._queue.clear()
        with self._starting:
            attempt, running = self._attempt, self._running
            if attempt is not None:
                attempt.stopping = True
        if running is not None:
            end_session(running.pid, grace_s=0.0)

    # --- the slot's own thread --------------------------------------------------------------------

    def _work(self) -> None:
        outbox = self._host.outbox
        with suppress(LinkLost):  # the main thread sees it too, and ends everything
            while True:
                with self._changed:
                    while not self._queue:
                        self._changed.wait()
                    queued = self._queue.popleft()
                self._run(queued)
                if outbox.due or not self._queue:
                    outbox.flush()

    def _run(self, queued: Queued) -> None:
        host, job, ref = self._host, self._host.job, queued.ref
        assert job is not None
        host.board.begin(self._number, ref.epoch, ref.n)
        if self.granted is not self._arranged_for:
            self._arrange(self.granted)
        attempt = self._attempt = Attempt(
            ref,
            job.name,
            place=self._place,
            state=host.states.pop(ref.ordinal, None),
            say=host.outbox.say,
            listen=lambda: None,
            hosts=queued.hosts,
        )
        task: ProgramTask | None = None
        try:
            task = self._task(job, attempt)
            result = task.go(queued.candidates)
            row = result() if attempt.has_folder else None
        except BaseException as error:
            if task is not None:
                task.save_files()
            if isinstance(error, Stopped) or host.sigterm.ends(attempt):
                host.outbox.gave_back([ref])
            else:
                duration_s = time.monotonic() - attempt.began
                host.outbox.failed(fault_of(error, ref, duration_s))
        else:
            if row is None:
                host.outbox.ended(ref.job, partial(_outcome, attempt, result))
            else:
                host.outbox.done(ref.job, row)
        finally:
            self._attempt = None
            attempt.clean()
            host.board.end(self._number)

    def _task(self, job: DefineJob, attempt: Attempt) -> ProgramTask:
        granted = self.granted
        if self._loaded is None or self._loaded.job is not job:
            self._loaded = LoadedJob(job, self._host.store)
        devices = tuple(range(len(granted.gpus)))
        if not self._loaded.is_open:
            self._loaded.open(attempt, self._resources, devices)
        ref = attempt.ref
        return ProgramTask(
            job,
            self._loaded.enter(attempt, self._resources, devices),
            attempt,
            around=Surroundings(
                self._environ,
                f"{ref.job}/{ref.ordinal}/{ref.epoch}.{ref.n}",
                _names_for(job.commands, attempt.hosts),
                self._host.grace_s,
                self._host.nothing,
                self._group,
            ),
            plain=self._plain,
            run=self._supervise,
        )

    def _arrange(self, granted: Granted) -> None:
        """Hold this thread, and so what it starts, to another grant."""
        self._arranged_for = granted
        if granted.cores:
            with suppress(OSError):
                os.sched_setaffinity(0, granted.cores)
        self._resources = resources_from(granted.resources)
        self._place = Path(granted.folder)
        self._printed.leave()
        self._printed = SlotOutput(self._place / f"slot-{os.getpid()}-{self._number}.out")
        self._plain = Workplace(self._place / "none", None, self._printed)
        self._group = None
        if self._host.groups is not None and self._resources.memory_gib:
            self._group = self._host.groups.group(f"slot-{os.getpid()}-{self._number}")
            if self._group is not None:
                self._group.hold_to(self._resources.memory_gib)
        limits = thread_limits(self._resources.cores)
        limits |= gpus_here(os.environ).shown(granted.gpus)
        self._environ = {**os.environb, **{k.encode(): v.encode() for k, v in limits.items()}}

    def _supervise(self, start: Callable[[], Supervised]) -> tuple[Supervised, int]:
        """Start a program and wait for it, in sight of the board and of the other threads."""
        board = self._host.board
        with self._starting:
            running = self._running = start()
        board.turn(self._number, Phase.PROGRAM)
        try:
            code = running.wait()
            if code in EXIT_CODES and not running.stopped:
                self._host.sigterm.came()
            return running, code
        finally:
            self._running = None
            board.turn(self._number, Phase.PYTHON)
            if running.told and self._attempt is not None:
                ref = self._attempt.ref
                self._host.outbox.say(Spawned(ref.n, 0, ref.epoch))


def _outcome(attempt: Attempt, result: Callable[[], TaskDone]) -> TaskDone | TaskFault:
    """The result of an attempt that has ended, or why it cannot be written."""
    try:
        return result()
    except Exception as error:
        return fault_of(error, attempt.ref, attempt.duration_s or 0.0)


def _names_for(commands: Mapping[str, str], hosts: tuple[str, ...]) -> Mapping[str, str]:
    """The site's names for programs, ``{hosts}`` and ``{nodes}`` in them filled in."""
    if not any("{" in text for text in commands.values()):
        return commands
    hosts = hosts or (socket.gethostname(),)
    told = {"{hosts}": ",".join(hosts), "{nodes}": str(len(hosts))}
    filled = dict(commands)
    for name, text in commands.items():
        for mark, value in told.items():
            text = text.replace(mark, value)
        filled[name] = text
    return filled
