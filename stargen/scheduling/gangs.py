"""Gangs: tasks that have several whole nodes of one allocation for themselves.

A job whose request says ``nodes = n`` gets, for each task, n nodes that have nothing else to do.
Nodes become empty at different times, so while such a job waits the emptiest able nodes of one
allocation are saved for it: nobody else is sent anything there. Every tick finds them anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from stargen.model import Request, Resources
from stargen.scheduling import placement
from stargen.scheduling.jobs import JobState
from stargen.scheduling.nodelist import Node


def is_gang(request: Request) -> bool:
    """True if the task has nodes for itself."""
    return request[0].nodes > 1


def free_gang(
    nodes: Iterable[Node], job: JobState, request: Request, now: float
) -> tuple[int, list[Node]] | None:
    """The first variant for which enough nodes of one allocation are empty, and which they are."""
    able = [node for node in nodes if placement.refusal(node, job, request, now) is None]
    for variant, resources in enumerate(request):
        for members in _by_allocation(able, resources):
            empty = [node for node in members if node.distributor.idle]
            if len(empty) >= resources.nodes:
                return variant, empty[: resources.nodes]
    return None


def save_nodes(nodes: Iterable[Node], job: JobState, request: Request, now: float) -> None:
    """Keep the nodes free that can soonest be a gang by the first variant that can have one."""
    able = [node for node in nodes if placement.refusal(node, job, request, now) is None]
    for resources in request:
        found: list[list[Node]] = []
        for members in _by_allocation(able, resources):
            if len(members) >= resources.nodes:
                members.sort(key=lambda node: len(node.distributor.attempts))
                found.append(members[: resources.nodes])
        if found:
            for node in min(found, key=_busy):
                node.saved_for = job.plan.name
            return


def _busy(nodes: list[Node]) -> int:
    return sum(len(node.distributor.attempts) for node in nodes)


def _by_allocation(able: Iterable[Node], resources: Resources) -> list[list[Node]]:
    """The nodes that are large enough, allocation by allocation."""
    groups: dict[str, list[Node]] = {}
    for node in able:
        if node.distributor.slots(resources):
            groups.setdefault(node.allocation, []).append(node)
    return list(groups.values())
