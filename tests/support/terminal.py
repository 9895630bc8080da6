"""A terminal of tmux, for tests that look at what a person sees."""

import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 120.0

_THEN_STAY = '"$@"; echo "ended with $?"; exec sleep 600'


class Terminal:
    """A terminal of tmux that runs one command."""

    def __init__(self, tmp_path, command, *, size=(80, 24), **environment):
        self._base = ["tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]
        told = [f"{name}={value}" for name, value in environment.items()]
        line = ["new-session", "-d", "-s", "top", "-x", str(size[0]), "-y", str(size[1])]
        self.tmux(*line, "env", *told, "sh", "-c", _THEN_STAY, "sh", *command)

    def tmux(self, *arguments):
        done = subprocess.run(
            [*self._base, *arguments], capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout

    @property
    def pid(self):
        """The command's process, below the shell that runs it."""
        shell = int(self.tmux("display-message", "-p", "-t", "top", "#{pane_pid}"))
        (child,) = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(child)

    def press(self, *keys):
        self.tmux("send-keys", "-t", "top", *keys)

    def screen(self, *more):
        return self.tmux("capture-pane", "-p", "-t", "top", *more)

    def until(self, pattern):
        """The screen as soon as it shows this."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            seen = self.screen()
            if re.search(pattern, seen):
                return seen
            time.sleep(0.2)
        raise AssertionError(f"{pattern} is not shown:\n{self.screen()}")

    def until_over(self, *keys):
        """Until the command has ended; its exit code.

        Keys are pressed again and again: a program that has just begun may not hear the first.
        """
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = re.search(r"ended with (\d+)", self.screen())
            if found is not None:
                return int(found[1])
            if keys:
                self.press(*keys)
            time.sleep(0.5)
        raise AssertionError(f"it does not end:\n{self.screen()}")

    def close(self):
        with suppress(subprocess.CalledProcessError):
            self.tmux("kill-server")
