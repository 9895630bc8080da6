"""How long what batch systems gave will last."""

from __future__ import annotations

from stargen.status import AllocationStatus, Status


def time_left_s(allocation: AllocationStatus, now: float) -> float | None:
    """Until its walltime is over; None unless it runs."""
    if allocation.state != "running":
        return None
    return max(0.0, allocation.since + allocation.walltime_s - now)


def shortest_left_s(status: Status, now: float) -> float | None:
    """Of the running allocation that ends first; None without any."""
    left = (time_left_s(allocation, now) for allocation in status.allocations.values())
    return min((seconds for seconds in left if seconds is not None), default=None)
