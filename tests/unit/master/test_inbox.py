"""The kernel's inbox: what came first is taken first, some at a time."""

from __future__ import annotations

import asyncio

from stargen.master.inbox import Inbox


def happening(name):
    return lambda at: (at, name)


def test_few_are_taken_at_a_time_in_order_and_others_have_their_turn_between():
    async def scenario():
        inbox, seen, turns = Inbox(), [], 0
        for number in range(100):
            inbox.put(happening(number))

        async def others():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(others())
        takes = 0
        while len(seen) < 100:
            taken = await inbox.take()
            assert 0 < len(taken) <= 50
            seen += [make(1.0)[1] for make in taken]
            takes += 1
        beside.cancel()
        assert seen == list(range(100))
        assert turns >= takes - 1 > 0
        inbox.put(happening("last"))
        assert [make(2.0) for make in await inbox.take()] == [(2.0, "last")]

    asyncio.run(scenario())


def test_who_can_wait_waits_for_room():
    async def scenario():
        inbox = Inbox(room=2)
        for name in "ab":
            await inbox.put_in_turn(happening(name))
        third = asyncio.create_task(inbox.put_in_turn(happening("c")))
        await asyncio.sleep(0)
        assert not third.done()
        inbox.put(happening("urgent"))
        assert len(await inbox.take()) == 3
        await third
        assert len(await inbox.take()) == 1

    asyncio.run(scenario())


def test_those_who_wait_are_woken_when_half_the_room_is_free():
    async def scenario():
        inbox = Inbox(room=100)
        for number in range(100):
            inbox.put(happening(number))
        waiting = [asyncio.create_task(inbox.put_in_turn(happening("late"))) for _ in range(3)]
        await asyncio.sleep(0)
        left = 100
        while left > 50:
            assert not any(task.done() for task in waiting)
            left -= len(await inbox.take())
        await asyncio.wait(waiting, timeout=5.0)
        assert all(task.done() for task in waiting)

    asyncio.run(scenario())
