import asyncio
from pathlib import Path

import pytest

from stargen.transport.children import run_child


def lives(mark: str) -> bool:
    commands = (path / "cmdline" for path in Path("/proc").glob("[0-9]*"))
    return any(mark in path.read_text(errors="replace") for path in commands if path.exists())


async def test_it_is_told_and_tells():
    done = await run_child(["/bin/sh", "-c", "cat; echo no >&2; exit 3"], 10, b"yes")
    assert done == (3, b"yes", b"no\n")


async def test_who_takes_too_long_is_killed():
    with pytest.raises(TimeoutError):
        await run_child(["/bin/sh", "-c", "sleep 71.5; true"], 0.1)
    assert not lives("sleep 71.5; true")


@pytest.mark.parametrize("after_us", [0, 500, 1000, 2000, 4000, 10_000, 50_000])
async def test_whoever_gives_up_leaves_nothing_whenever_that_is(after_us):
    child = asyncio.create_task(run_child(["/bin/sh", "-c", f"sleep 72.{after_us}; true"], 60))
    await asyncio.sleep(after_us / 1e6)
    child.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await child
    assert not lives(f"sleep 72.{after_us}; true")


async def test_what_is_not_there_cannot_be_started():
    with pytest.raises(FileNotFoundError):
        await run_child(["/nowhere/program"], 10)
