"""What calculators left with a candidate: series of numbers step by step, and corrections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple, cast

from stargen.tui.ink import Line, fitted, heading
from stargen.tui.widgets.marks import curve, numbers
from stargen.tui.words import short

_MOST = 4
"""Curves of one candidate: energies and forces of two steps."""

_BESIDE = 110
"""Columns that two curves beside each other want."""

_GAP = 2
_NAMES = {
    "ionic_energies_ev": "energy, eV",
    "ionic_max_forces_ev_per_ang": "largest force, eV/Å",
    "earlier_ionic_energies_ev": "energy before it was interrupted, eV",
}


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
                yield f"{name}: {_NAMES.get(inner, inner)}", each
        else:
            yield name, value


def drawn(found: list[Series], width: int, height: int) -> list[Line]:
    """Curves, each under its name; two beside each other where there is room."""
    if width < _BESIDE:
        return [line for each in found for line in _drawn(each, width, height)]
    lines: list[Line] = []
    half = (width - _GAP) // 2
    for left, right in zip_longest(found[::2], found[1::2]):
        if right is None:
            lines += _drawn(left, half, height)
        else:
            both = zip(_drawn(left, half, height), _drawn(right, half, height), strict=True)
            lines += [[*fitted(a, half), (" " * _GAP, ""), *b] for a, b in both]
    return lines


def _drawn(each: Series, width: int, height: int) -> list[Line]:
    note = f"{len(each.values)} steps"
    return [heading(each.name, width, note), *curve(each.values, width, height)]


def told(corrections: list[str], width: int) -> list[Line]:
    """Corrections, if there were any."""
    if not corrections:
        return []
    lines: list[Line] = [heading("corrections", width, str(len(corrections)))]
    return lines + [[(f" {number}  ", "dim"), (short(text, width - 5), "warn")]
                    for number, text in enumerate(corrections, 1)]  # fmt: skip
