"""A worker for tests, that dies at a named point if the environment says so (see killing.py).

What it has come to shows in what goes over its link, so its points lie before and after that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from support.killing import Killer

from stargen.executing import attempt, program_task, runner
from stargen.messages import Checkpointed, RunTasks, Spawned, TasksDone, decode
from stargen.transport.blocking import BlockingLink

_WORDS = {TasksDone: "result", Checkpointed: "checkpoint", Spawned: "spawn"}
_LONG_TASK_S = 0.1
"""So that also the short tasks of a test are saved between two steps."""


def _observe_link(killer: Killer) -> None:
    send_all, receive = BlockingLink.send_all, BlockingLink.receive

    def observed_send(self: BlockingLink, payloads: Iterable[bytes]) -> None:
        payloads = list(payloads)
        kinds = {type(decode(payload)) for payload in payloads}
        words = [word for kind, word in _WORDS.items() if kind in kinds]
        for word in words:
            killer(f"before-{word}")
        send_all(self, payloads)
        for word in words:
            killer(f"after-{word}")

    def observed_receive(self: BlockingLink, timeout_s: float | None = None) -> list[bytes]:
        payloads = receive(self, timeout_s)
        if any(isinstance(decode(payload), RunTasks) for payload in payloads):
            killer("after-order")
        return payloads

    BlockingLink.send_all, BlockingLink.receive = observed_send, observed_receive


if __name__ == "__main__":
    _observe_link(Killer("host" if "--programs" in sys.argv else "worker"))
    attempt.LONG_TASK_S = program_task.LONG_TASK_S = _LONG_TASK_S
    runner.main()
