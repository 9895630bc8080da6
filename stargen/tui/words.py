"""How the dashboard filters, and says a few things that several pages say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stargen.records import Record
from stargen.typed import plain

_ROWS = ("rows", "lanes", "keys", "ranks", "ids")


@dataclass(frozen=True, slots=True)
class Filter:
    """What a person typed after ``/``: words that must all be found.

    ``name:text`` looks in the column of that name alone, ``!`` before a word wants it absent.
    Capitals do not count.
    """

    words: tuple[tuple[bool, str, str], ...] = ()

    @classmethod
    def of(cls, typed: str) -> Filter:
        words: list[tuple[bool, str, str]] = []
        for word in typed.casefold().split():
            name, colon, text = word.lstrip("!").partition(":")
            if not colon:
                name, text = "", name
            if text:
                words.append((not word.startswith("!"), name, text))
        return cls(tuple(words))

    def accepts(self, cells: Mapping[str, str]) -> bool:
        return all(self._finds(name, text, cells) == wanted for wanted, name, text in self.words)

    def _finds(self, name: str, text: str, cells: Mapping[str, str]) -> bool:
        if name in cells:
            return text in cells[name].casefold()
        whole = f"{name}:{text}" if name else text
        return any(whole in cell.casefold() for cell in cells.values())


def short(value: object, width: int) -> str:
    """A value on one line, cut to `width`."""
    text = " ".join(str(value).split())
    return text if len(text) <= width else f"{text[: max(0, width - 3)]}..."


def fields_of(record: Record) -> dict[str, Any]:
    """A record's fields as plain values, without its time."""
    fields: dict[str, Any] = plain(record)
    del fields["at"]
    return fields


def in_words(record: Record, jobs: list[str], width: int = 200) -> str:
    """A record on one line; jobs by their names, rows by their number."""
    parts: list[str] = []
    for name, value in fields_of(record).items():
        if name == "job":
            index = int(value)
            parts.append(jobs[index] if index < len(jobs) else str(index))
        elif name in _ROWS:
            rows: list[Any] = value
            if rows:
                parts.append(f"{len(rows)} {name}")
        elif value or isinstance(value, (int, float)):
            parts.append(f"{name}={short(value, 60)}")
    return short(", ".join(parts), width)
