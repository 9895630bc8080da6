"""Nodes that are taken out of a running campaign."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from stargen.config import Pool
from stargen.master.comings import Comings
from stargen.master.nodes import Nodes
from stargen.messages import Load


class FakeKeeper:
    """A node whose last sample was taken before its first task came."""

    name = "cn1"
    connected = True
    load = Load(0.0, 0.0, 1.0, 1.0, 0, [])

    def __init__(self) -> None:
        self.done: list[str] = []

    async def dismiss(self, reason: str, grace_s: float) -> None:
        self.done.append(f"dismissed: {reason}")

    async def end(self, grace_s: float) -> str:
        self.done.append("ended")
        return ""


async def test_a_removed_node_is_let_go_when_its_tasks_are_accounted_for() -> None:
    keeper = FakeKeeper()
    nodes = Nodes([], define=cast("Any", None), read=cast("Any", None))
    nodes.keepers["cn1"] = cast("Any", keeper)
    busy = True
    told: list[tuple[str, str]] = []
    comings = Comings(
        {"far": Pool()},
        nodes,
        cast("Any", None),
        rid_of=lambda name: not busy,
        removed=lambda name, reason: told.append((name, reason)),
        alert=told.clear,
    )
    comings.remove("cn1", "me")
    await asyncio.sleep(0.5)
    assert keeper.done == [], "its sample is old, and what it has is not"
    busy = False
    async with asyncio.timeout(10):
        while not told:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert keeper.done == ["dismissed: removed by me", "ended"]
    assert told == [("cn1", "removed by me")]
    assert "cn1" not in nodes.keepers
    assert nodes.hopeless is None, "others may be added"
