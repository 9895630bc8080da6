"""An agent for tests, that dies at a named point if the environment says so (see killing.py)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from support.killing import Killer
from support.real_campaigns import ACKNOWLEDGED

from stargen.executing import agent
from stargen.executing.spool import Spool
from stargen.messages import AttemptRef


def _write_down_acknowledgements(path: Path) -> None:
    """Keep an account of what the master said it has, that nobody but a test looks at."""
    usual = Spool.acknowledge
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def acknowledge(self: Spool, refs: Iterable[AttemptRef]) -> None:
        refs = list(refs)
        os.write(fd, "".join(f"{r.job} {r.ordinal} {r.epoch} {r.n}\n" for r in refs).encode())
        usual(self, refs)

    Spool.acknowledge = acknowledge


if __name__ == "__main__":
    if ACKNOWLEDGED in os.environ:
        _write_down_acknowledgements(Path(os.environ[ACKNOWLEDGED]))
    sys.exit(agent.main(observer=Killer("agent")))
