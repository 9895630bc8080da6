"""The worker process: `python -m stargen.executing.runner`, started by stargen.executing.worker.

It answers the agent's greeting before it imports anything heavy, so that a slow file system shows
as a slow first task and not as a worker that does not answer. Then it becomes one of two things: a
runner of calculators, or with ``--programs`` the host of external programs.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import logging
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

from stargen.errors import LinkLost
from stargen.executing.board import Board
from stargen.executing.sharing import SharedStore
from stargen.executing.sigterm import Sigterm
from stargen.executing.staging import SharedPlace
from stargen.transport.blocking import BlockingLink
from stargen.transport.greeting import Identity

_PR_SET_PDEATHSIG = 1
_OOM_SCORE_ADJ = 500
"""Added to the kernel's count for its choice of a victim: a worker before agent or master."""


def main(arguments: list[str] | None = None) -> None:
    """Serve the agent at the other end of ``--link`` until it closes or says so."""
    parser = argparse.ArgumentParser(prog="stargen.executing.runner")
    parser.add_argument("--link", type=int, required=True, help="descriptor of the socket")
    parser.add_argument("--board", type=int, required=True, help="descriptor of the board")
    parser.add_argument("--programs", action="store_true", help="be a host of external programs")
    parser.add_argument("--shared", nargs=3, required=True, metavar=("RAM", "DISK", "GIB"))
    parser.add_argument("--memory-groups", type=Path, help="folder for groups of programs")
    parser.add_argument("--grace-s", type=float, default=5.0, help="between two ways of stopping")
    options = parser.parse_args(arguments)
    for fd in (options.link, options.board):
        os.set_inheritable(fd, False)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    faulthandler.enable()
    sigterm = Sigterm()
    sigterm.catch()
    _expose_to_oom_killer()
    if not options.programs:
        _die_with_parent()
    me = Identity("worker", name=f"worker {os.getpid()}")
    link = BlockingLink(socket.socket(fileno=options.link), me, expects="agent")
    ram, disk, quota_gib = options.shared
    store = SharedStore(SharedPlace(Path(ram), Path(disk), float(quota_gib)))
    with suppress(LinkLost):  # the agent is gone: nothing is left to do
        link.accept()
        if options.programs:
            from stargen.executing.program import ProgramHost

            board, groups = Board(options.board), options.memory_groups
            ProgramHost(link, board, options.grace_s, store, sigterm, groups).serve()
        else:
            from stargen.executing.calculating import CalculatorRunner

            CalculatorRunner(link, Board(options.board), store, sigterm).serve()


def _expose_to_oom_killer() -> None:
    with suppress(OSError, ValueError):
        path = Path("/proc/self/oom_score_adj")
        path.write_text(str(min(1000, int(path.read_text()) + _OOM_SCORE_ADJ)))


def _die_with_parent() -> None:
    """A calculator may be deep in C code when the agent is killed, and read no link."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
