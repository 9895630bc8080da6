"""Openings: which nodes may have room for which class of tasks.

A class (a job and one of its requests) looks at a node again only after something was freed there,
so that a pass costs by what changed and not by how many nodes there are. What nothing announces
(time that passes, a pace that is learned) is found by looking again at some nodes at every tick.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from stargen.scheduling.nodelist import Node, Nodelist

TaskClass = tuple[int, int]
"""(job, number of its request)."""

_LOG_MAX = 20_000
LOOKS = 200
"""Nodes that a tick has all classes look at again: some milliseconds a second, however many there
are, and on 2,000 nodes each has its turn within ten seconds."""


class _View:
    """One class's candidates, and how far it has read the log of freed nodes."""

    __slots__ = ("nodes", "read")

    def __init__(self, nodes: dict[str, None], read: int) -> None:
        self.nodes = nodes
        self.read = read


class Openings:
    """Candidates per class, in the order in which they should be tried."""

    def __init__(self, nodes: Nodelist, freed: list[str]) -> None:
        self._nodes = nodes
        self._freed = freed
        self._views: dict[TaskClass, _View] = {}
        self._looked = 0

    def candidates(self, task_class: TaskClass) -> Iterator[Node]:
        """Nodes that may have room, longest untried first; drop or rotate them while iterating."""
        view = self._views.get(task_class)
        if view is None or len(self._freed) > _LOG_MAX:
            if len(self._freed) > _LOG_MAX:
                self._forget()
            names = {node.name: None for node in self._nodes if node.takes_work}
            view = self._views[task_class] = _View(names, len(self._freed))
        for name in self._freed[view.read :]:
            view.nodes[name] = None
        view.read = len(self._freed)
        for name in list(view.nodes):
            yield self._nodes[name]

    def full(self, task_class: TaskClass, node: Node) -> None:
        """The node has no room for this class until something is freed there."""
        self._views[task_class].nodes.pop(node.name, None)

    def used(self, task_class: TaskClass, node: Node) -> None:
        """The node was given some: the others come before it next time."""
        nodes = self._views[task_class].nodes
        if nodes.pop(node.name, True) is None:
            nodes[node.name] = None

    def look_again(self) -> None:
        """Forget what was found full: everywhere, or where there are many nodes of the next few."""
        if len(self._nodes) <= LOOKS:
            self._forget()
            return
        start = self._looked % len(self._nodes)
        self._freed.extend(node.name for node in islice(self._nodes, start, start + LOOKS))
        self._looked = start + LOOKS

    def _forget(self) -> None:
        self._views.clear()
        self._freed.clear()
