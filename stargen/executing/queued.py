"""Tasks that wait in a worker."""

from __future__ import annotations

from contextlib import suppress

from stargen.crystal import Candidate, decode_entry
from stargen.errors import BadResult
from stargen.messages import AttemptRef, RunTasks, TaskOrder


class Queued:
    """One of them.

    Parameters
    ----------
    ref : the attempt
    order : what it is to do
    hosts : those that it has for itself, if it has several
    """

    __slots__ = ("_candidates", "hosts", "order", "ref")

    def __init__(self, ref: AttemptRef, order: TaskOrder, hosts: tuple[str, ...]) -> None:
        self.ref = ref
        self.order = order
        self.hosts = hosts
        self._candidates: list[Candidate] | None = None

    def decode(self) -> None:
        """Do so ahead of its turn, for many at once; what is wrong with it shows in its turn."""
        with suppress(BadResult):
            self._candidates = self.candidates()

    def candidates(self) -> list[Candidate]:
        """Its candidates. BadResult if one is none."""
        if self._candidates is not None:
            return self._candidates
        return [decode_entry(entry) for entry in self.order.entries]


def queued_of(run: RunTasks) -> list[Queued]:
    """The tasks of a message, in order."""
    job, epoch, hosts = run.job, run.epoch, tuple(run.hosts)
    return [
        Queued(AttemptRef(job, order.ordinal, epoch, order.n), order, hosts) for order in run.tasks
    ]
