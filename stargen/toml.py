"""TOML text with the line of every key, so that an error can say where it stands.

tomli gives values and the place of a syntax error, but not where a value stands. The scanner below
reads text that tomli has accepted already, so it may be small: it only has to find the keys.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli

from stargen.errors import UserError

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the root, e.g. ``("job", 2, "params", "count")``."""


class Document:
    """A TOML file: its values, and the line of each of its keys.

    Parameters
    ----------
    text : the file's content
    file : its name, for messages
    error : which `UserError` its problems are

    Raises
    ------
    UserError : of the given class, with the line, if the text is not TOML
    """

    def __init__(
        self, text: str, file: str | Path | None = None, error: type[UserError] = UserError
    ) -> None:
        self.text = text
        self.file = file
        self.error = error
        try:
            self.values: Mapping[str, Any] = tomli.loads(text)
        except tomli.TOMLDecodeError as fault:
            raise self._syntax_error(fault) from None

    def line(self, path: KeyPath) -> int | None:
        """Where `path` stands, or the nearest table around it; counts from 1."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return None

    def problem(self, path: KeyPath, problem: str, hint: str | None = None) -> UserError:
        """An error about the value at `path`."""
        return self.error(
            problem, file=self.file, line=self.line(path), key=key_text(path) or None, hint=hint
        )

    @cached_property
    def _lines(self) -> dict[KeyPath, int]:
        return _Scanner(self.text).lines()

    def _syntax_error(self, fault: tomli.TOMLDecodeError) -> UserError:
        rows = self.text.splitlines()
        row = rows[fault.lineno - 1].strip() if 0 < fault.lineno <= len(rows) else ""
        found = f"found: {row}" if row else None
        problem = f"not valid TOML, column {fault.colno}: {fault.msg}"
        return self.error(problem, file=self.file, line=fault.lineno, hint=found)


def read_document(file: Path, error: type[UserError]) -> Document:
    """The document in a file.

    Raises
    ------
    UserError : of the given class, if it cannot be read or is not TOML
    """
    try:
        text = file.read_text("utf-8")
    except OSError as fault:
        raise error(f"cannot be read: {fault.strerror}", file=file) from None
    except UnicodeDecodeError as fault:
        raise error(f"is not UTF-8 text: {fault.reason} at byte {fault.start}", file=file) from None
    return Document(text, file, error)


def key_text(path: KeyPath) -> str:
    """A path as people write it: ``job.step.use``; which one of a list, the line says."""
    return ".".join(part for part in path if isinstance(part, str))


_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{1,2})?'
    r"|'''.*?'''(?:'{1,2})?"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]\}\n#]*")


class _Scanner:
    """One pass over valid TOML that notes the line of every key, table and list element."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._found: dict[KeyPath, int] = {}
        self._lengths: dict[KeyPath, int] = {}

    def lines(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while True:
            self._skip(_SPACE)
            if self._position >= len(self._text):
                return self._found
            if self._text.startswith("[", self._position):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        """``[table]`` or ``[[table]]``: where the keys after it belong."""
        line = self._line()
        repeated = self._text.startswith("[[", self._position)
        self._position += 2 if repeated else 1
        keys = self._keys()
        self._position += 2 if repeated else 1
        path: KeyPath = ()
        for depth, key in enumerate(keys, 1):
            path = (*path, key)
            if repeated and depth == len(keys):
                self._found.setdefault(path, line)
                self._lengths[path] = self._lengths.get(path, 0) + 1
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
            self._found.setdefault(path, line)
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for key in self._keys():
            path = (*path, key)
            self._found.setdefault(path, line)
        self._skip(_BLANK)
        self._position += 1  # the equals sign
        self._value(path)

    def _keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip(_BLANK)
            quoted = _STRING.match(self._text, self._position)
            bare = _BARE_KEY.match(self._text, self._position)
            match = quoted or bare
            if match is None:
                raise AssertionError(f"no key at offset {self._position} of valid TOML")
            self._position = match.end()
            raw = match.group()
            keys.append(tomli.loads(f"{raw} = 0").popitem()[0] if quoted else raw)
            self._skip(_BLANK)
            if not self._text.startswith(".", self._position):
                return keys
            self._position += 1

    def _value(self, path: KeyPath) -> None:
        self._skip(_BLANK)
        match self._text[self._position]:
            case "[":
                self._elements(path, "]")
            case "{":
                self._elements(path, "}")
            case _:
                scalar = _STRING.match(self._text, self._position)
                self._skip(_SCALAR) if scalar is None else self._jump(scalar)

    def _elements(self, path: KeyPath, closing: str) -> None:
        """The inside of an array or an inline table."""
        self._position += 1
        index = 0
        while True:
            self._skip(_SPACE)
            if self._text.startswith(closing, self._position):
                self._position += 1
                return
            if closing == "}":
                self._pair(path)
            else:
                self._found[(*path, index)] = self._line()
                self._value((*path, index))
            index += 1
            self._skip(_SPACE)
            if self._text.startswith(",", self._position):
                self._position += 1

    def _line(self) -> int:
        return bisect_right(self._newlines, self._position - 1) + 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._position)
        assert match is not None  # the patterns given here match the empty text as well
        self._jump(match)

    def _jump(self, match: re.Match[str]) -> None:
        self._position = match.end()
