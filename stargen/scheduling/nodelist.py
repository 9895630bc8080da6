"""Nodelist: which nodes there are, what they have, and how they stand.

A node's standing is decided by records (joined, lost, draining, suspended, left); whether its link
is up at the moment is not a record, because it changes nothing that must be remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stargen.model import Resources
from stargen.scheduling.distributor import Distributor

READY, DRAINING, SUSPENDED, LOST, LEFT = "ready", "draining", "suspended", "lost", "left"


class Node:
    """One machine and its Distributor."""

    __slots__ = (
        "agent_id",
        "allocation",
        "attached",
        "begun_at",
        "detached_at",
        "distributor",
        "ends_at",
        "failures_in_row",
        "gang",
        "incarnation",
        "joined_at",
        "leaving",
        "loaded",
        "name",
        "pool",
        "reason",
        "resources",
        "saved_for",
        "state",
        "used_s",
    )

    def __init__(self, name: str, pool: str, resources: Resources) -> None:
        self.name = name
        self.pool = pool
        self.resources = resources
        self.distributor = Distributor(resources)
        self.agent_id = ""
        self.incarnation = 0
        self.state = READY
        self.reason = ""
        self.attached = False
        self.detached_at: float | None = None
        self.leaving = ""
        """Why its agent is about to go; empty if it is not."""
        self.begun_at: float | None = None
        self.ends_at: float | None = None
        """When it must go because its allocation ends, and when that was first known."""
        self.allocation = pool
        """Nodes of one allocation can work on one task together."""
        self.gang: tuple[int, int] | None = None
        """(job, ordinal) of the task that has this node, and others, for itself."""
        self.saved_for = ""
        """Name of a job that waits for whole nodes and is to have this one as soon as it is empty;
        found anew by every tick."""
        self.joined_at: float | None = None
        self.used_s = 0.0
        self.failures_in_row = 0
        self.loaded: set[str] = set()
        """Affinity keys of the data that tasks have brought there."""

    @property
    def takes_work(self) -> bool:
        return self.attached and self.state == READY and not self.leaving

    def hours(self, now: float) -> float:
        """Node-hours used so far."""
        running = now - self.joined_at if self.joined_at is not None else 0.0
        return (self.used_s + running) / 3600.0


class Nodelist:
    """All nodes that ever joined, in order of joining."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._slots: dict[Resources, int] = {}

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def get(self, name: str) -> Node | None:
        return self._nodes.get(name)

    def join(
        self, name: str, pool: str, agent_id: str, incarnation: int, resources: Resources, at: float
    ) -> Node:
        """A node attaches for the first time, or again, perhaps with other resources."""
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = Node(name, pool, resources)
        elif node.resources != resources:
            node.resources = resources
            node.distributor.resize(resources)
        if (node.agent_id, node.incarnation) != (agent_id, incarnation):
            node.loaded.clear()
        node.pool, node.agent_id, node.incarnation = pool, agent_id, incarnation
        if node.state != DRAINING:  # its link may come and go while it is drained
            node.state, node.reason = READY, ""
        if node.joined_at is None:
            node.joined_at = at
        self._slots.clear()
        return node

    def link(self, name: str, up: bool, at: float) -> None:
        """The link to the node's agent came up, or went."""
        node = self._nodes[name]
        node.attached = up
        node.detached_at = None if up else (node.detached_at or at)
        self._slots.clear()

    def set_state(self, name: str, state: str, reason: str) -> None:
        """The node is ready, draining or set aside."""
        node = self._nodes[name]
        node.state, node.reason = state, reason
        self._slots.clear()

    def leave(self, name: str, state: str, reason: str, at: float) -> None:
        """The node is lost or has said goodbye."""
        node = self._nodes[name]
        self.set_state(name, state, reason)
        if node.joined_at is not None:
            node.used_s += max(0.0, at - node.joined_at)
            node.joined_at = None

    def slots(self, request: Resources) -> int:
        """How many such tasks the working nodes would run at once if they were empty."""
        found = self._slots.get(request)
        if found is None:
            each = [node.distributor.slots(request) for node in self if node.takes_work]
            if request.nodes > 1:
                each = [sum(slots > 0 for slots in each) // request.nodes]
            found = sum(each)
            self._slots[request] = found
        return found

    def hours(self, now: float) -> float:
        """Node-hours of the campaign so far."""
        return sum(node.hours(now) for node in self)

    def state(self) -> list[Any]:
        return [
            [
                n.name,
                n.pool,
                resources_form(n.resources),
                n.agent_id,
                n.incarnation,
                n.state,
                n.reason,
                n.joined_at,
                n.used_s,
                n.gang,
            ]
            for n in self
        ]

    @classmethod
    def from_state(cls, state: list[Any]) -> Nodelist:
        made = cls()
        for name, pool, resources, agent_id, incarnation, standing, reason, *more in state:
            joined, used, *gang = more
            node = Node(name, pool, resources_from(resources))
            node.agent_id, node.incarnation = agent_id, incarnation
            node.gang = tuple(gang[0]) if gang and gang[0] else None
            node.state, node.reason = standing, reason
            node.joined_at, node.used_s = joined, used
            made._nodes[name] = node
        return made


def resources_from(fields: list[Any]) -> Resources:
    """Resources from the list form that messages and records carry."""
    *plain, custom = fields
    return Resources(*plain, custom=tuple((str(name), float(n)) for name, n in custom))


def resources_form(resources: Resources) -> list[Any]:
    """The list form of resources, the inverse of `resources_from`."""
    return [
        resources.cores,
        resources.gpus,
        resources.memory_gib,
        resources.scratch_gib,
        resources.io,
        resources.nodes,
        resources.walltime_s,
        resources.scratch,
        [list(pair) for pair in resources.custom],
    ]
