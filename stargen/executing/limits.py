"""Limits: what must not go on is stopped, and every stop has a reason that is told afterwards.

A stop goes through stages, each `grace_s` after the one before: a soft request (the calculator may
save a checkpoint and return), SIGTERM, SIGKILL. A hard stop begins with the last. The attempt is
over when its worker says so or is gone; only then is it reported, as the failure that the stop
stands for, or as given back where it is no failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stargen.errors import CalculationFailed, OutOfMemory, TaskError, TimedOut
from stargen.executing.board import Phase
from stargen.executing.dispatcher import Dispatcher, Flight
from stargen.messages import AttemptRef, CancelTasks, TakeBack
from stargen.model import AttemptId

_STUCK_S = 0.3
"""A task that runs longer than this should have no others waiting behind it in its worker."""


@dataclass(slots=True)
class Stop:
    """Why an attempt has to end, and how far that has come.

    `error`: what to report it as; None: as given back, for `reason`.
    """

    error: TaskError | None
    reason: str
    next_at: float
    stage: int = 0


class Limits:
    """Walltimes, memory, scratch, and the stopping of attempts.

    Parameters
    ----------
    dispatcher : knows who is at what
    grace_s : between two stages of a stop
    """

    def __init__(self, dispatcher: Dispatcher, grace_s: float) -> None:
        self._dispatcher = dispatcher
        self._grace_s = grace_s
        self._stops: dict[AttemptId, Stop] = {}

    def stop(
        self,
        ref: AttemptRef,
        now: float,
        *,
        error: TaskError | None = None,
        reason: str = "",
        soft: bool = True,
    ) -> None:
        """Begin to stop an attempt that a worker has in hand; a hard stop overtakes a soft one."""
        slot = self._dispatcher.slot_of(ref)
        attempt = AttemptId(ref.epoch, ref.n)
        old = self._stops.get(attempt)
        if slot is None or (old is not None and (soft or old.stage > 1)):
            return
        stop = old or Stop(error, reason, now)
        self._stops[attempt] = stop
        slot.worker.send(CancelTasks([ref], stop.reason, soft))
        stop.stage, stop.next_at = (0, now + self._grace_s) if soft else (1, now)
        if not soft and slot.worker.kind.programs is None and slot.cell[:2] == attempt:
            slot.worker.kill()

    def why(self, attempt: AttemptId) -> Stop | None:
        """The stop that was under way for an attempt that has now ended; it is forgotten."""
        return self._stops.pop(attempt, None)

    def look(
        self, now: float, rss_gib: Mapping[AttemptId, float], scratch_gib: Mapping[AttemptId, float]
    ) -> None:
        """Several times a second: find what breaks a limit, go on with the stops under way.

        Parameters
        ----------
        rss_gib, scratch_gib : what running attempts were last seen to use
        """
        for flight in self._dispatcher.running():
            attempt = AttemptId(flight.cell.epoch, flight.cell.n)
            stop = self._stops.get(attempt)
            if stop is None:
                self._judge(flight, now, rss_gib.get(attempt, 0.0), scratch_gib.get(attempt, 0.0))
            elif now >= stop.next_at:
                self._harden(flight, stop, now)
            self._recall(flight, now)

    def _judge(self, flight: Flight, now: float, rss_gib: float, scratch_gib: float) -> None:
        allowed = flight.slot.line.resources
        ran_s = now - flight.cell.since
        if allowed.walltime_s is not None and ran_s > allowed.walltime_s:
            problem = f"it ran longer than its walltime of {allowed.walltime_s:g} s"
            self.stop(flight.ref, now, error=TimedOut(problem))
        elif 0 < allowed.memory_gib < rss_gib:
            problem = f"it used {rss_gib:.2f} GiB of memory; {allowed.memory_gib:g} were granted"
            self.stop(flight.ref, now, error=OutOfMemory(problem), soft=False)
        elif 0 < allowed.scratch_gib < scratch_gib:
            problem = f"its files took {scratch_gib:.2f} GiB; {allowed.scratch_gib:g} were granted"
            self.stop(flight.ref, now, error=CalculationFailed(problem), soft=False)

    def _harden(self, flight: Flight, stop: Stop, now: float) -> None:
        """The next stage. A host stops its programs itself; it dies only if its own code hangs."""
        worker = flight.slot.worker
        stop.stage += 1
        stop.next_at = now + self._grace_s
        if worker.kind.programs is not None:
            if flight.cell.phase == Phase.PYTHON and stop.stage > 3:
                worker.kill()
        elif stop.stage == 1:
            worker.terminate()
        else:
            worker.kill()

    def _recall(self, flight: Flight, now: float) -> None:
        """Take back what waits behind a task that turns out to be long, and send it no more."""
        slot = flight.slot
        if slot.stuck or now - flight.cell.since <= _STUCK_S:
            return
        slot.stuck = True
        behind = len(slot.flying) - 1
        if behind:
            slot.worker.send(TakeBack(slot.line.job, behind, slot.number))
