"""Names of hosts, as site files write them: one by one, or many at once as ``cn[001-128]``."""

from __future__ import annotations

import re
from collections.abc import Iterator

_BRACKET = re.compile(r"\[([^\[\]]*)\]")
_ITEM = re.compile(r"([0-9]+)(?:-([0-9]+))?")
MOST = 100_000
"""More hosts than this in one name are a slip of the pen."""


def expand(pattern: str) -> list[str]:
    """The hosts that a name with ranges stands for: ``cn[1-3,7]`` for cn1, cn2, cn3 and cn7.

    Leading zeros keep the width; several brackets combine, the last one running fastest, as Slurm
    has it. A port or a user is not part of a name: they belong in the pool's `ssh` table.

    Raises
    ------
    ValueError : with what is wrong and how to write it
    """
    if re.search(r"\s", pattern) or not pattern:
        raise ValueError(f"is no name of a host: {pattern!r}")
    parts = _BRACKET.split(pattern)
    if any(c in part for part in parts[::2] for c in "[]"):
        raise ValueError(f"has a bracket without its other half: {pattern!r}")
    names = [""]
    for at, part in enumerate(parts):
        ends = [part] if at % 2 == 0 else list(_numbers(part, pattern))
        if len(names) * len(ends) > MOST:
            raise ValueError(f"stands for more than {MOST:,} hosts: {pattern!r}")
        names = [name + end for name in names for end in ends]
    return names


def _numbers(text: str, pattern: str) -> Iterator[str]:
    for item in text.split(","):
        match = _ITEM.fullmatch(item.strip())
        if match is None:
            raise ValueError(f"has [{text}] where [001-128] or [1,7-9] is meant: {pattern!r}")
        first, last = match[1], match[2] or match[1]
        if int(last) < int(first):
            raise ValueError(f"counts down in [{text}]; write {last}-{first}: {pattern!r}")
        if int(last) - int(first) >= MOST:
            raise ValueError(f"stands for more than {MOST:,} hosts: {pattern!r}")
        width = len(first)
        yield from (str(n).zfill(width) for n in range(int(first), int(last) + 1))
