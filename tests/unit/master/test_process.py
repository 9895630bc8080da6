"""What a master does to its process while it runs."""

import asyncio
import gc
import weakref

import pytest

from stargen.master import process
from stargen.master.process import calm_collector


class Ring:
    """Refers to itself, so that only a collection ends it."""

    def __init__(self):
        self.me = self


def test_the_collector_rests_while_a_master_runs_and_is_back_afterwards():
    async def run():
        async with calm_collector():
            during = gc.isenabled()
        return during, gc.isenabled()

    assert asyncio.run(run()) == (False, True)


def test_cyclic_garbage_goes_now_and_then(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "_EVERY_S", 0.01)

    async def run():
        gone = asyncio.Event()
        async with calm_collector():
            weakref.finalize(Ring(), gone.set)
            before = gone.is_set()
            async with asyncio.timeout(30):
                await gone.wait()
        return before

    assert not asyncio.run(run())
