"""Counts, rates, times of day and durations in words, for all who show them to people."""

from __future__ import annotations

from datetime import datetime

_PACES = (("s", 1), ("min", 60), ("h", 3600))


def count(number: float) -> str:
    """A count with its thousands apart: 1,234,567."""
    return f"{number:,.0f}"


def rate(per_s: float) -> str:
    """So many a second, minute or hour, whichever reads well."""
    if per_s <= 0:
        return "-"
    unit, factor = next((u, f) for u, f in _PACES if per_s * f >= 1 or u == "h")
    pace = per_s * factor
    return f"{pace:,.0f}/{unit}" if pace >= 100 else f"{pace:.2g}/{unit}"


def clock(at: float) -> str:
    """The time of day here, from seconds since the epoch."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def duration(seconds: float) -> str:
    """About how long: 12 s, 3 min 20 s, 5 h 3 min, 2 d 4 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    for unit, small, size, part in (("d", "h", 86400, 3600), ("h", "min", 3600, 60)):
        if seconds >= size:
            rest = int(seconds % size // part)
            return f"{int(seconds // size)} {unit}" + (f" {rest} {small}" if rest else "")
    rest = int(seconds % 60)
    return f"{int(seconds // 60)} min" + (f" {rest} s" if rest else "")
