"""What a program prints: the files that take it, their last lines, how they are kept short."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from stargen.executing.faults import tail

_MOST_BYTES = 256 * 1024 * 1024
_LINES_BYTES, _MORE_BYTES = 2000, 1500
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC


class Outputs:
    """The files of one program's standard output and error.

    Parameters
    ----------
    out, error : one file for both if `error` is None
    """

    def __init__(self, out: Path, error: Path | None = None) -> None:
        self._out = out
        self._error = error
        self._open: list[int] = []

    def open(self) -> tuple[int, int]:
        """Empty files to write to, for output and error. OSError if they cannot be made."""
        out = os.open(self._out, _FRESH, 0o600)
        self._open.append(out)
        if self._error is None:
            return out, out
        error = os.open(self._error, _FRESH, 0o600)
        self._open.append(error)
        return out, error

    def close(self) -> None:
        """The program has them now."""
        while self._open:
            os.close(self._open.pop())

    def last_lines(self) -> str:
        """The end of what was printed, on standard error first."""
        if self._error is None:
            return tail(self._out, _LINES_BYTES)
        texts = tail(self._error, _LINES_BYTES), tail(self._out, _MORE_BYTES)
        return "\n".join(text for text in texts if text)

    def cut(self) -> None:
        """A program that prints without end must not fill the disk; what comes last is kept."""
        for path in (self._out, self._error):
            with suppress(OSError):
                if path is not None and path.stat().st_size > _MOST_BYTES:
                    os.truncate(path, 0)


class SlotOutput(Outputs):
    """One file for all that the programs of a slot print, one after another.

    It stays open between them: to open a file takes a hundredth of the time of a short program.
    """

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self._kept: int | None = None

    def open(self) -> tuple[int, int]:
        if self._kept is None:
            self._kept, _ = super().open()
            self._open.clear()
        else:
            os.ftruncate(self._kept, 0)
        return self._kept, self._kept

    def leave(self) -> None:
        """The slot's programs print elsewhere from now on."""
        if self._kept is not None:
            os.close(self._kept)
            self._kept = None
