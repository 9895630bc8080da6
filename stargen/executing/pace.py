"""Pace: how long a job's tasks take, and so how many of them a worker should have in hand. Pure."""

from __future__ import annotations

from collections.abc import Iterable

AHEAD_S = 0.03
"""Work that a worker has in hand beyond the task that it runs: a hundred round trips to it."""

MOST_AHEAD = 256
_WEIGHT = 0.2


class Pace:
    """Mean durations by job, of late."""

    def __init__(self) -> None:
        self._mean_s: dict[int, float] = {}

    def learn(self, job: int, durations_s: Iterable[float]) -> None:
        """Some tasks of `job` took so long."""
        durations = list(durations_s)
        if not durations:
            return
        mean_s = sum(durations) / len(durations)
        old_s = self._mean_s.get(job, mean_s)
        self._mean_s[job] = old_s + _WEIGHT * (mean_s - old_s)

    def window(self, job: int) -> int:
        """How many tasks of `job` to give to a worker at once; 1 while nothing is known.

        Tasks longer than `AHEAD_S` are given one by one: none waits behind a long one while another
        worker idles, and the pause between two of them is short against their length.
        """
        mean_s = self._mean_s.get(job)
        if mean_s is None:
            return 1
        return max(1, min(MOST_AHEAD, int(AHEAD_S / max(mean_s, 1e-6))))
