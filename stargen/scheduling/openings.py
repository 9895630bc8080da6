"""Openings: which nodes may have room for which class of tasks.

A class (a job and one of its requests) looks at a node again only after something was freed there,
so that a pass costs by what changed and not by how many nodes there are.
"""

from __future__ import annotations

from collections.abc import Iterator

from stargen.scheduling.nodelist import Node, Nodelist

TaskClass = tuple[int, int]
"""(job, number of its request)."""

_LOG_MAX = 20_000


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

    def candidates(self, task_class: TaskClass) -> Iterator[Node]:
        """Nodes that may have room, longest untried first; drop or rotate them while iterating."""
        view = self._views.get(task_class)
        if view is None or len(self._freed) > _LOG_MAX:
            if len(self._freed) > _LOG_MAX:
                self.look_everywhere()
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

    def look_everywhere(self) -> None:
        """Forget what was found full; conditions that nothing announces (time) may have changed."""
        self._views.clear()
        self._freed.clear()
