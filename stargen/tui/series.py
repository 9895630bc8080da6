"""What calculators left with a candidate: series of numbers step by step, and corrections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from stargen.tui.ink import Line, heading
from stargen.tui.widgets.marks import curve, numbers
from stargen.tui.words import short

_MOST = 4
"""Curves of one candidate: energies and forces of two steps."""


class Series(NamedTuple):
    """Numbers of one quantity, one for each step of a calculation."""

    name: str
    values: list[float]


def series_of(data: Mapping[str, Any]) -> list[Series]:
    """Every list of numbers in a candidate's data, also of those that one step left together."""
    return [
        Series(name, values)
        for name, value in _flat(data)
        if (values := numbers(value)) is not None
    ][:_MOST]


def corrections_of(data: Mapping[str, Any]) -> list[str]:
    """What was changed on the way, in words."""
    found: list[str] = []
    for value in data.values():
        if isinstance(value, dict):
            rows = cast("dict[str, Any]", value).get("corrections")
            found += [_correction(row) for row in cast("list[Any]", rows or ())]
    return list(dict.fromkeys(found))  # each step of a job tells those of the steps before, too


def _correction(row: Any) -> str:
    if not isinstance(row, dict):
        return str(row)
    told = cast("dict[str, Any]", row)
    changes: dict[str, Any] = told.get("changes") or {}
    changed = ", ".join(f"{key} {_change(pair)}" for key, pair in changes.items())
    what = f"{told.get('step', '')} {told.get('fault', '')}: {told.get('message', '')}".strip()
    return f"{what}  ->  {changed}" if changed else what


def _change(pair: Any) -> str:
    old: Any = ""
    new: Any = pair
    if isinstance(pair, list) and len(cast("list[Any]", pair)) == 2:
        old, new = cast("list[Any]", pair)
    return f"= {new}" if old in ("", None) else f"{old} -> {new}"


def _flat(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, dict):
            for inner, each in cast("dict[str, Any]", value).items():
                yield f"{name} {inner}", each
        else:
            yield name, value


def drawn(found: list[Series], width: int, height: int) -> list[Line]:
    """Curves below one another, each under its name."""
    lines: list[Line] = []
    for name, values in found:
        lines.append(heading(name, width, f"{len(values)} steps"))
        lines += curve(values, min(width, 100), height)
    return lines


def told(corrections: list[str], width: int) -> list[Line]:
    """Corrections, if there were any."""
    if not corrections:
        return []
    lines: list[Line] = [heading("corrections", width, str(len(corrections)))]
    return lines + [[(f" {number}  ", "dim"), (short(text, width - 5), "warn")]
                    for number, text in enumerate(corrections, 1)]  # fmt: skip
