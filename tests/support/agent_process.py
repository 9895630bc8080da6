"""An agent for tests, that dies at a named point if the environment says so (see killing.py).

Its workers do as much. It also keeps accounts that nobody but a test looks at.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from support.killing import Killer
from support.real_campaigns import ACKNOWLEDGED, AGENTS

from stargen.executing import agent
from stargen.executing.spool import Spool
from stargen.messages import AttemptRef


class _Popen(subprocess.Popen[Any]):
    """Starts the workers of tests instead of the usual ones."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        swap = {"stargen.executing.runner": "support.worker_process"}
        super().__init__([swap.get(word, word) for word in command], **options)


def _write_down_acknowledgements(path: Path) -> None:
    """What the master said that it has."""
    usual = Spool.acknowledge
    fd = _account(path)

    def acknowledge(self: Spool, refs: Iterable[AttemptRef]) -> None:
        refs = list(refs)
        os.write(fd, "".join(f"{r.job} {r.ordinal} {r.epoch} {r.n}\n" for r in refs).encode())
        usual(self, refs)

    Spool.acknowledge = acknowledge


def _account(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


if __name__ == "__main__":
    subprocess.Popen = _Popen
    _write_down_acknowledgements(Path(os.environ[ACKNOWLEDGED]))
    os.write(_account(Path(os.environ[AGENTS])), f"{os.getpid()}\n".encode())
    sys.exit(agent.main(observer=Killer("agent")))
