"""What a master asks of the process that it runs in, and takes back at the end."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress

_EVERY_S = 30.0
_REST = 199
"""Times as long as a collection took, until the next."""


@asynccontextmanager
async def calm_collector() -> AsyncGenerator[None]:
    """Look for cyclic garbage now and then, and not whenever so many objects have been made.

    Nearly all that a master makes dies by its reference count, but Python's collector walks over
    all that lives: with the tasks of 2,000 nodes open this took as long as a fifth of the deciding.
    So it has a two hundredth of the time at most, however much there is
    (`benchmarks/control_plane.py --where --agents 2000` shows what it takes).
    """
    usual = gc.isenabled()
    gc.freeze()  # and not a collection before it: that takes longer than a thousand tasks
    gc.disable()
    collecting = asyncio.create_task(_collect())
    try:
        yield
    finally:
        collecting.cancel()
        if usual:
            gc.enable()
        gc.unfreeze()


async def _collect() -> None:
    took_s = 0.0
    while True:
        await asyncio.sleep(max(_EVERY_S, _REST * took_s))
        began = time.perf_counter()
        gc.collect()
        took_s = time.perf_counter() - began


@contextmanager
def signals_to(stop: Callable[[str], None]) -> Generator[None]:
    """SIGINT and SIGTERM call `stop` with their names, each time."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    with suppress(ValueError, RuntimeError):  # only the main thread may have them
        for number in numbers:
            loop.add_signal_handler(number, stop, number.name)
    try:
        yield
    finally:
        with suppress(ValueError, RuntimeError):
            for number in numbers:
                loop.remove_signal_handler(number)
