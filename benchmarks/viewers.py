"""Those that a benchmark looks on with: a real viewer, and something in its place as busy."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

SIZE = (160, 50)


class Viewer:
    """`stargen top` in a terminal of its own."""

    def __init__(self, folder: Path, settled_s: float) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", LANG="C.UTF-8")
            command = [sys.executable, "-m", "stargen.cli", "top", "--campaign", str(folder)]
            os.execv(sys.executable, command)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        self.bytes = 0
        self._tail = ""
        self._seen = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        self.wait_for("bottleneck|events", 60)
        time.sleep(settled_s)  # until it has read the journal up to now

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may come in two
        with suppress(OSError):
            while data := os.read(self.fd, 65536):
                with self._seen:
                    self.bytes += len(data)
                    self._tail = (self._tail + decoder.decode(data))[-200_000:]
                    self._seen.notify_all()

    def wait_for(self, pattern: str, limit_s: float) -> None:
        """Until a text has been written since the last key."""
        wanted = re.compile(pattern)
        with self._seen:
            if not self._seen.wait_for(lambda: wanted.search(self._tail), limit_s):
                raise TimeoutError(f"{pattern} is not shown: {self._tail[-2000:]!r}")

    def press(self, key: str, pattern: str) -> float:
        """Seconds until a key's effect is in the terminal."""
        with self._seen:
            self._tail = ""
        began = time.perf_counter()
        os.write(self.fd, key.encode())
        self.wait_for(pattern, 60.0)
        return time.perf_counter() - began

    def close(self) -> None:
        with suppress(OSError):  # there is nobody to read it any more
            os.write(self.fd, b"q")
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        with suppress(OSError):
            os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *more: object) -> None:
        if kind is not None:  # it may be stopped, or hear nothing: it must not be left behind
            os.kill(self.pid, signal.SIGKILL)
        self.close()


class Busy:
    """A process in the viewer's place: as busy, and it asks nothing and shows nothing.

    Parameters
    ----------
    share : of a core, used in a piece each second, as a viewer does
    """

    def __init__(self, share: float) -> None:
        self.bytes = 0
        self.pid = os.fork()
        if self.pid == 0:
            while True:
                _work(share)
                time.sleep(1.0 - share)

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _work(for_s: float) -> None:
    """What a viewer's work is alike: many small objects made, and looked at."""
    until = time.process_time() + for_s
    while time.process_time() < until:
        rows = {str(n): [n, f"node-{n}", {"n": n}] for n in range(2000)}
        sorted(rows, key=lambda name: rows[name][1])
