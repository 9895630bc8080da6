"""Chemical formulas as amounts, brackets and fractions included."""

from __future__ import annotations

import re

from stargen.elements import ATOMIC_NUMBERS

_TOKEN = re.compile(r"([A-Z][a-z]?)|(\d+(?:\.\d*)?|\.\d+)|([(\[])|([)\]])|\s+")


def parse_formula(formula: str) -> dict[str, float]:
    """Amounts by element symbol: ``Ca(OH)2`` -> {"Ca": 1, "O": 2, "H": 2}.

    Raises
    ------
    ValueError : if it is not a formula
    """
    levels: list[dict[str, float]] = [{}]
    last: dict[str, float] = {}  # what the next number multiplies, already counted once
    at = 0
    while at < len(formula):
        token = _TOKEN.match(formula, at)
        if token is None:
            raise ValueError(f"{formula!r} is not a formula")
        at = token.end()
        symbol, number, opening, closing = token.groups()
        if number:
            _add(levels[-1], last, float(number) - 1)
            last = {}
        elif symbol:
            if symbol not in ATOMIC_NUMBERS:
                raise ValueError(f"{formula!r} names {symbol}, which is no element")
            last = {symbol: 1.0}
            _add(levels[-1], last, 1)
        elif opening:
            levels.append({})
            last = {}
        elif closing:
            if len(levels) == 1:
                raise ValueError(f"{formula!r} closes a bracket that was not opened")
            last = levels.pop()
            _add(levels[-1], last, 1)
    amounts = {symbol: amount for symbol, amount in levels[0].items() if amount > 0}
    if len(levels) > 1 or not amounts:
        raise ValueError(f"{formula!r} is not a whole formula")
    return amounts


def _add(total: dict[str, float], part: dict[str, float], times: float) -> None:
    for symbol, amount in part.items():
        total[symbol] = total.get(symbol, 0.0) + amount * times
