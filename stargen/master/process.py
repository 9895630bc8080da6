"""What a master asks of the process that it runs in, and takes back at the end."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

_COLLECT_EVERY = 50_000


@contextmanager
def calm_collector() -> Generator[None]:
    """Nearly all that a master makes dies by its reference count; looking for cycles among it at
    Python's usual rate costs more than the scheduling (benchmarks/control_plane.py shows it).
    """
    usual = gc.get_threshold()
    gc.freeze()  # and not a collection before it: that takes longer than a thousand tasks
    gc.set_threshold(_COLLECT_EVERY, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


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
