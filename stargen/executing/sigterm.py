"""SIGTERM from outside, as a batch system sends it to every process of an allocation that it ends.

The agent gets it too, and knows what it means: it tells its workers to stop, softly where that
saves something. A worker that obeyed the signal itself would often be dead before, and its task a
failure that is none. So it goes on until it is told; and what fails after the signal, such as a
program that has ended by it, is not called a failure before the agent has had time for its order.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from stargen.executing.attempt import Attempt

EXIT_CODES = (-signal.SIGTERM, 128 + signal.SIGTERM)
"""Of a program that ended by it, and of a shell or an MPI launcher whose program did."""
_ORDER_S = 2.0
_LOOK_S = 0.02


class Sigterm:
    """What a worker does about it."""

    def __init__(self) -> None:
        self.obeyed: Callable[[], bool] = bool
        """Whether to end by it after all: the agent sends it to whoever does not stop when told."""
        self._came_at = -math.inf
        self._pid = os.getpid()

    def catch(self) -> None:
        """From now on. In the main thread only.

        Forks that a calculator makes obey as ever; a handler of ours would lose them a signal that
        comes before Python is ready in them.
        """
        signal.signal(signal.SIGTERM, self._on_signal)
        os.register_at_fork(
            before=partial(self._exchange, self._on_signal, signal.SIG_DFL),
            after_in_parent=partial(self._exchange, signal.SIG_DFL, self._on_signal),
        )

    def _exchange(self, old: Any, new: Any) -> None:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) == old:  # and not a calculator's own
            signal.signal(signal.SIGTERM, new)

    def _on_signal(self, number: int, _frame: object) -> None:
        if os.getpid() != self._pid or self.obeyed():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.came()

    def came(self) -> None:
        """It was sent to this process, or has ended one that was started here."""
        self._came_at = time.monotonic()

    def ends(self, attempt: Attempt) -> bool:
        """Whether the agent stops an attempt that has failed; waits for that if a signal came."""
        if self._came_at >= attempt.began:
            give_up_at = time.monotonic() + _ORDER_S
            while not attempt.stop_requested() and time.monotonic() < give_up_at:
                time.sleep(_LOOK_S)
        return attempt.stopping
