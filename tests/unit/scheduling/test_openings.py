"""Which nodes a class of tasks looks at, and when again."""

from __future__ import annotations

import pytest

from stargen.model import Resources
from stargen.scheduling.nodelist import Nodelist
from stargen.scheduling.openings import LOOKS, Openings

CLASS, OTHER = (0, 0), (1, 0)


def nodelist(count: int) -> Nodelist:
    nodes = Nodelist()
    for number in range(count):
        nodes.join(f"n{number}", "local", f"a{number}", 1, Resources(), at=0.0)
        nodes.link(f"n{number}", up=True, at=0.0)
    return nodes


def seen(openings: Openings, task_class: tuple[int, int] = CLASS) -> list[str]:
    """The nodes that it would look at; all of them turn out to be full."""
    found = list(openings.candidates(task_class))
    for node in found:
        openings.full(task_class, node)
    return [node.name for node in found]


def test_a_node_found_full_is_looked_at_again_when_something_was_freed_there() -> None:
    freed: list[str] = []
    openings = Openings(nodelist(3), freed)
    assert seen(openings) == ["n0", "n1", "n2"]
    assert seen(openings) == []
    freed.append("n1")
    assert seen(openings) == ["n1"]
    assert seen(openings, OTHER) == ["n0", "n1", "n2"], "each class has a view of its own"


def test_a_node_that_was_given_some_comes_last_next_time() -> None:
    nodes = nodelist(3)
    openings = Openings(nodes, [])
    next(openings.candidates(CLASS))
    openings.used(CLASS, nodes["n0"])
    assert [node.name for node in openings.candidates(CLASS)] == ["n1", "n2", "n0"]


@pytest.mark.parametrize("count", [1, LOOKS, LOOKS + 1, 5 * LOOKS - 7])
def test_ticks_look_at_every_node_again_but_at_few_at_a_time(count: int) -> None:
    openings = Openings(nodelist(count), [])
    assert len(seen(openings)) == count
    again: list[str] = []
    for _ in range(-(-count // LOOKS)):
        openings.look_again()
        some = seen(openings)
        assert len(some) <= LOOKS
        again += some
    assert sorted(again) == sorted(f"n{i}" for i in range(count))
