"""`stargen` with a bug: its scheduler breaks once it has some results."""

from __future__ import annotations

from typing import Any

from stargen.cli.main import main
from stargen.scheduling.scheduler import Scheduler

_SOUND_STEPS = 30


def _break_later() -> None:
    usual, steps = Scheduler.handle, 0

    def handle(self: Scheduler, *events: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > _SOUND_STEPS:
            raise ZeroDivisionError("the scheduler has lost count")
        return usual(self, *events)

    Scheduler.handle = handle


if __name__ == "__main__":
    _break_later()
    main()
