"""Reads the project's documents: their fenced blocks and their links.

A block may be told what to do by a comment on the line before it::

    <!-- file: my/campaign.toml -->      its text is written there before the page's commands go on
    <!-- append: my/campaign.toml -->    as well, at the end of the file
    <!-- slow -->                        its commands take minutes
    <!-- exit: 2 -->                     its commands end with that code
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]

_OPENS = re.compile(r"^```(\w+)\s*$")
_NOTE = re.compile(r"^<!--\s*(\w+)(?::\s*(.*?))?\s*-->$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `line` counts from 1 and is where its text begins."""

    language: str
    text: str
    line: int
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shown:
    """One command as a page shows it, with the output that the page shows."""

    command: str
    output: str
    line: int


def pages() -> list[Path]:
    """Every document of the project that people read."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    found += [*ROOT.glob("examples/**/*.md"), *ROOT.glob("plugins/*/README.md")]
    return sorted(found)


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return list(_blocks(page.read_text().splitlines()))


def _blocks(lines: list[str]) -> Iterator[Block]:
    notes: dict[str, str] = {}
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if note := _NOTE.match(line):
            notes[note[1]] = note[2] or ""
        elif opens := _OPENS.match(line):
            first = number
            while lines[number] != "```":
                number += 1
            yield Block(opens[1], "\n".join(lines[first:number]) + "\n", first + 1, notes)
            notes, number = {}, number + 1
        elif line.strip():
            notes = {}


def commands(block: Block) -> list[Shown]:
    """The commands of a ``console`` block: lines that begin with ``$ ``."""
    found: list[Shown] = []
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        if line.startswith("$ "):
            found.append(Shown(line[2:], "", number))
        elif found:
            last = found[-1]
            found[-1] = Shown(last.command, f"{last.output}{line}\n", last.line)
        else:
            raise ValueError(f"line {number}: a console block begins with a command: $ ...")
    return found


def agrees(shown: str, real: str) -> bool:
    """True if the real output is as shown; ``...`` stands for anything, blanks count as one."""
    pattern = ".*".join(re.escape(" ".join(part.split())) for part in shown.split("..."))
    return (
        re.search(pattern.replace(r"\ .*", ".*").replace(r".*\ ", ".*"), " ".join(real.split()))
        is not None
    )


def links(page: Path) -> list[str]:
    """Targets of links and pictures that point into the repository."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = [plain or picture for plain, picture in _LINK.findall(text)]
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]
