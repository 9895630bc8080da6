"""The life of a task as a table.

Theory of operation. A task is born when a range of a lane is first assigned to a node, or as a
half of a batch that failed. It is *assigned* while some node is believed to have it and *queued*
while it waits for another try. It ends *finished* (a result was accepted, from whichever attempt),
*split* (its halves take over), *quarantined* (no attempt could bring its one candidate through) or
*cancelled* (a person said so). Ended tasks are forgotten: the lane's interval set remembers them.
"""

from __future__ import annotations

from typing import Literal

from stargen.errors import InvariantBroken

TaskState = Literal["queued", "assigned", "finished", "split", "quarantined", "cancelled"]
Happening = Literal[
    "assigned", "returned", "retried", "finished", "split", "quarantined", "cancelled"
]

_TABLE: dict[tuple[TaskState, Happening], TaskState] = {
    ("queued", "assigned"): "assigned",
    ("queued", "finished"): "finished",  # a late result of an attempt that was given up
    ("queued", "quarantined"): "quarantined",  # its tries ran out while it waited
    ("queued", "split"): "split",
    ("queued", "cancelled"): "cancelled",
    ("assigned", "returned"): "queued",
    ("assigned", "retried"): "queued",
    ("assigned", "finished"): "finished",
    ("assigned", "split"): "split",
    ("assigned", "quarantined"): "quarantined",
    ("assigned", "cancelled"): "cancelled",
}

ENDED: frozenset[TaskState] = frozenset(("finished", "split", "quarantined", "cancelled"))


def follow(state: TaskState, happening: Happening) -> TaskState:
    """The state after `happening`; InvariantBroken if it cannot happen in `state`."""
    try:
        return _TABLE[state, happening]
    except KeyError:
        raise InvariantBroken(f"a task that is {state} cannot be {happening}") from None
