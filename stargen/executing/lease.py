"""Lease: how long an agent lives without its master. Pure; time comes in as an argument.

While a master is attached the lease does not run. When the master goes, the agent works on alone
for `lease_s`, then *winds down*: it asks tasks to save their checkpoints and gives them `grace_s`,
and at the end of that it stops what still runs, and goes.
"""

from __future__ import annotations

from enum import Enum


class Standing(Enum):
    """How the agent stands towards masters."""

    ATTACHED = "a master is there"
    ALONE = "works on without one"
    WINDING_DOWN = "the lease is over: tasks save what they have"
    OVER = "stop everything and go"


class Lease:
    """The time that is left.

    Parameters
    ----------
    lease_s : how long to work alone
    grace_s : how long tasks may take to save their state afterwards
    now : monotonic seconds; a new agent is alone until the first master comes
    """

    def __init__(self, lease_s: float, grace_s: float, now: float) -> None:
        self.lease_s = lease_s
        self.grace_s = grace_s
        self._alone_since: float | None = now

    def attach(self, lease_s: float) -> None:
        """A master is there, and says how long its absence may last."""
        self.lease_s = lease_s
        self._alone_since = None

    def detach(self, now: float) -> None:
        """The link to the master is gone; the first loss counts."""
        if self._alone_since is None:
            self._alone_since = now

    def standing(self, now: float) -> Standing:
        """What the agent is to do now."""
        if self._alone_since is None:
            return Standing.ATTACHED
        alone_s = now - self._alone_since
        if alone_s < self.lease_s:
            return Standing.ALONE
        return Standing.WINDING_DOWN if alone_s < self.lease_s + self.grace_s else Standing.OVER

    def left_s(self, now: float) -> float | None:
        """Seconds until the lease is over, 0 if it is; None while a master is attached."""
        if self._alone_since is None:
            return None
        return max(0.0, self._alone_since + self.lease_s - now)
