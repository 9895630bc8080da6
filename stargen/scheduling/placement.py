"""Placement: how many tasks of a class each node gets, and why a node gets none.

The same predicates place tasks, answer "why does it wait?" and "what would k more nodes do?".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stargen.model import Request
from stargen.scheduling.jobs import JobState
from stargen.scheduling.nodelist import DRAINING, LEFT, LOST, SUSPENDED, Node

MESSAGE_S = 0.005
"""A share should be worth its message: so much work goes to one node before the next gets any. A
message costs both ends some 0.1 ms, as much as ten tasks that come in company."""

AHEAD_OF_ALL = 32_768
"""Tasks sent ahead to all nodes together: what a master hands out in `PREFILL_S`. No cluster ends
more in that time for long, and each that is under way costs the master a kilobyte."""

AHEAD_AT_ONCE = 1024
"""Tasks sent ahead to one node in one go, more with the next results: the node begins with them
while the next are handed out. With thousands at once each end waits for the other."""

WARM_WAIT_S = 5.0
"""Tasks wait so long at most for nodes that hold their data already, before others load it too: to
import torch and to load a network takes as long."""

UNKNOWN_S = 1.0
"""What a task is taken to last until one has ended."""

SAFETY = 3.0
"""A task is expected to end within its mean duration and this many mean deviations."""


FRESH = 0.1
"""A node that has used up no more of its time than this share of it has just come."""


class Share(NamedTuple):
    """`tasks` tasks for `node` by the request's variant number `variant`."""

    node: Node
    variant: int
    tasks: int


def refusal(node: Node, job: JobState, request: Request, now: float) -> str | None:
    """Why this node cannot take such a task now or ever; None if only its room decides."""
    if node.state in (LOST, LEFT):
        return f"{node.state}: {node.reason}"
    if node.state in (DRAINING, SUSPENDED):
        return f"{node.state}: {node.reason}"
    if not node.attached:
        return "no link to its agent"
    if node.leaving:
        return f"its agent leaves: {node.leaving}"
    pool = job.plan.spec.pool
    if pool is not None and pool != node.pool:
        return f"it is in pool {node.pool}, the job wants {pool}"
    if node.gang is not None:
        return "it works with others on one task"
    if node.saved_for not in ("", job.plan.name):
        return f"it is kept free for job {node.saved_for}, which needs several nodes at once"
    if not any(map(node.distributor.slots, request)):
        return "it is too small"
    if node.ends_at is not None and now + _needed_s(node, job, now) > node.ends_at:
        left_s = max(0.0, node.ends_at - now)
        return f"its time ends in {left_s:.0f} s, a task takes {expected_s(job):.0f} s"
    return None


def expected_s(job: JobState) -> float:
    """Within how many seconds a task of this job will surely have ended; 0 if nothing is known."""
    pace = job.pace
    if pace.task_s is None:
        return job.requests[0][0].walltime_s or 0.0
    return pace.task_s + SAFETY * pace.spread_s


def _needed_s(node: Node, job: JobState, now: float) -> float:
    """How much time a task should have on the node: surely enough, or else all that it has.

    Where tasks vary so much that surely enough is more than any node ever has, a node that has
    just come takes those that mostly end in its time.
    """
    needed_s, usual_s = expected_s(job), job.pace.task_s
    if usual_s is not None and node.begun_at is not None and node.ends_at is not None:
        lasts_s = node.ends_at - node.begun_at
        if now - node.begun_at <= FRESH * lasts_s:
            return min(needed_s, max(usual_s, (1 - FRESH) * lasts_s))
    return needed_s


def shares(
    job: JobState, request: Request, tasks: int, nodes: Sequence[Node], among: int
) -> list[Share]:
    """Divide up to `tasks` tasks over able nodes: evenly, first what can run now, then ahead.

    Nodes that hold the job's data (its affinity key) come first. Of a request's variants a node
    takes the first that has room.

    Parameters
    ----------
    among : how many nodes the campaign has
    """
    least = least_share(job)
    key = job.plan.affinity
    if key is not None:
        nodes = sorted(nodes, key=lambda node: key not in node.loaded)
    given: list[Share] = []
    for variant, resources in enumerate(request):
        if tasks <= 0:
            break
        rooms = [node.distributor.fits(resources) for node in nodes]
        tasks -= _give(given, variant, tasks, nodes, rooms, least)
    task_s = job.pace.task_s
    if tasks > 0 and nodes and task_s is not None:
        sent = {share.node.name: share.tasks for share in given if share.variant == 0}
        most = AHEAD_OF_ALL // among
        rooms = [
            node.distributor.room(request[0], task_s, most) - sent.get(node.name, 0)
            for node in nodes
        ]
        _give(given, 0, tasks, nodes, [min(room, AHEAD_AT_ONCE) for room in rooms], least)
    return _merged(given)


def _merged(given: Sequence[Share]) -> list[Share]:
    """One share for each node and variant: what runs now and what is ahead go in one message."""
    tasks: dict[tuple[str, int], int] = {}
    nodes: dict[str, Node] = {}
    for node, variant, count in given:
        nodes[node.name] = node
        tasks[node.name, variant] = tasks.get((node.name, variant), 0) + count
    return [Share(nodes[name], variant, count) for (name, variant), count in tasks.items()]


def worth_waiting(job: JobState, request: Request, tasks: int, warm: Sequence[Node]) -> bool:
    """True if `tasks` tasks will soon have begun on the nodes that hold their data.

    Then no other node is made to load it for them. Where much is to be done, all nodes load it.
    """
    task_s = job.pace.task_s or UNKNOWN_S
    slots = sum(node.distributor.slots(request[0]) for node in warm)
    return tasks <= slots * WARM_WAIT_S / max(task_s, 1e-6)


def least_share(job: JobState) -> int:
    """How many tasks make a message worth while; 1 unless they are known to be very short."""
    task_s = job.pace.task_s
    return 1 if task_s is None else max(1, int(MESSAGE_S / max(task_s, 1e-5)))


def has_room(job: JobState, request: Request, node: Node, among: int) -> bool:
    """True if one more such task could be sent to the node, to run or to wait there.

    Parameters
    ----------
    among : how many nodes the campaign has
    """
    distributor, task_s, least = node.distributor, job.pace.task_s, least_share(job)
    if distributor.room(request[0], task_s, AHEAD_OF_ALL // among, least) > 0:
        return True
    return any(distributor.fits(resources) for resources in request[1:])


def _give(
    given: list[Share],
    variant: int,
    tasks: int,
    nodes: Sequence[Node],
    rooms: list[int],
    least: int,
) -> int:
    """Hand out evenly within `rooms`; how many were handed out."""
    counts = spread(tasks, rooms, least)
    given.extend(
        Share(node, variant, count) for node, count in zip(nodes, counts, strict=True) if count
    )
    return sum(counts)


def spread(tasks: int, rooms: Sequence[int], least: int = 1) -> list[int]:
    """Divide `tasks` over places with `rooms`, as evenly as they allow; earlier places first.

    Nobody gets fewer than `least` for evenness' sake.
    """
    counts = [0] * len(rooms)
    open_ = [index for index, room in enumerate(rooms) if room > 0]
    while tasks > 0 and open_:
        share = max(least, tasks // len(open_))
        still: list[int] = []
        for index in open_:
            count = min(share, rooms[index] - counts[index], tasks)
            counts[index] += count
            tasks -= count
            if counts[index] < rooms[index]:
                still.append(index)
        open_ = still
    return counts
