"""Outbox: what a worker has to say, bunched under load and sent at once when it is idle.

A result waits in the outbox for at most `hold_s` or `MOST_ROWS` results; the worker empties it
whenever it has nothing left to run, so that a lonely result never waits. It may be put in before it
is written: then it is written when all are sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from stargen.messages import (
    AttemptRef,
    GaveBack,
    Message,
    TaskDone,
    TaskFault,
    TasksDone,
    TasksFailed,
    encode,
)

MOST_ROWS = 128


class Outbox:
    """Several threads may put things in; they leave in the order of their kinds' arrival.

    Parameters
    ----------
    send_all : writes several encoded messages to the agent; called by one thread at a time
    hold_s : how long the oldest result may wait for others
    """

    def __init__(self, send_all: Callable[[list[bytes]], None], hold_s: float) -> None:
        self._send_all = send_all
        self._hold_s = hold_s
        self._lock = threading.Lock()
        self._done: dict[int, list[TaskDone]] = {}
        self._ended: list[tuple[int, Callable[[], TaskDone | TaskFault]]] = []
        self._failed: list[TaskFault] = []
        self._given_back: list[AttemptRef] = []
        self._others: list[Message] = []
        self._rows = 0
        self._oldest = 0.0

    def done(self, job: int, row: TaskDone) -> None:
        """A task of `job` has its result."""
        with self._lock:
            self._done.setdefault(job, []).append(row)
            self._count()

    def ended(self, job: int, outcome: Callable[[], TaskDone | TaskFault]) -> None:
        """A task of `job` has ended; `outcome` writes its result, or says why there is none."""
        with self._lock:
            self._ended.append((job, outcome))
            self._count()

    def failed(self, fault: TaskFault) -> None:
        """An attempt failed."""
        with self._lock:
            self._failed.append(fault)
            self._count()

    def gave_back(self, refs: list[AttemptRef]) -> None:
        """These never started here, or were stopped."""
        with self._lock:
            self._given_back += refs
            self._count()

    def say(self, message: Message) -> None:
        """Anything else; sent with what waits, before it."""
        with self._lock:
            self._others.append(message)
        self.flush()

    @property
    def due(self) -> bool:
        """True if what waits has waited long enough."""
        rows = self._rows
        return rows > 0 and (rows >= MOST_ROWS or time.monotonic() - self._oldest >= self._hold_s)

    def flush(self) -> None:
        """Send everything."""
        with self._lock:
            messages = [encode(message) for message in self._take()]
            if messages:
                self._send_all(messages)

    def _count(self) -> None:
        if not self._rows:
            self._oldest = time.monotonic()
        self._rows += 1

    def _take(self) -> list[Message]:
        for job, outcome in self._ended:
            row = outcome()
            if isinstance(row, TaskDone):
                self._done.setdefault(job, []).append(row)
            else:
                self._failed.append(row)
        messages = self._others
        messages += [TasksDone(job, rows) for job, rows in self._done.items()]
        if self._failed:
            messages.append(TasksFailed(self._failed))
        if self._given_back:
            messages.append(GaveBack(self._given_back, "stopped"))
        self._others, self._done, self._failed, self._given_back = [], {}, [], []
        self._ended, self._rows = [], 0
        return messages
