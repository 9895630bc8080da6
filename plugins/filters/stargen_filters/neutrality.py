"""Can oxidation states be chosen so that a composition is neutral? Exactly, without trying all.

A set of reachable charges is one Python integer: bit s is set if the sum s can be reached. Adding
an element with n atoms that may be in the states q shifts that integer by q n for each q and joins
the results, so the cost is elements times states, where trying all choices costs their product.

Pauling's rule asks every cation to be less electronegative than every anion. Sorted by
electronegativity, that is one cut between unequal neighbours: what lies before it is cation (or
neutral), what lies after it anion (or neutral). The composition passes if at some cut a positive
charge from before meets the same negative charge from after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import gcd

from stargen_filters.oxidation import ElementTable


class Neutrality:
    """The rules of `smact.screening.smact_validity`, and which of them accepted.

    With `table.mixed` non-empty the answer is exact for every cell size; smact gives up, and says
    no, above a million combinations.
    """

    def __init__(self, table: ElementTable, *, pauling: bool, alloys: bool) -> None:
        self._table = table
        self._pauling = pauling
        self._alloys = alloys

    def verdict(self, amounts: Mapping[str, int]) -> str | None:
        """``element``, ``alloy`` or ``ionic``, or None if no rule accepts.

        Parameters
        ----------
        amounts : atoms of each element, by symbol
        """
        if len(amounts) == 1:
            return "element"
        if self._alloys and self._table.metals.issuperset(amounts):
            return "alloy"
        if not all(self._table.states.get(symbol) for symbol in amounts):
            return None
        divisor = gcd(*amounts.values())
        reduced = {symbol: n // divisor for symbol, n in amounts.items()}
        neutral = self._by_pauling(reduced) if self._pauling else self._any_states(reduced)
        return "ionic" if neutral else None

    def _by_pauling(self, amounts: Mapping[str, int]) -> bool:
        chi = self._table.electronegativity
        if not all(symbol in chi for symbol in amounts):
            return False
        order = sorted(amounts, key=lambda symbol: chi[symbol])
        positive = self._ladder(order, amounts, sign=1)
        negative = self._ladder(order[::-1], amounts, sign=-1)[::-1]
        return any(
            positive[cut] & negative[cut]
            for cut in range(len(order) + 1)
            if cut in (0, len(order)) or chi[order[cut - 1]] < chi[order[cut]]
        )

    def _ladder(self, order: list[str], amounts: Mapping[str, int], *, sign: int) -> list[int]:
        """Charges, in units of `sign`, that the first 0, 1, 2, ... elements of `order` can reach.

        States of the other sign are not used.
        """
        rungs = [1]
        for symbol in order:
            states = [sign * q for q in self._table.states[symbol] if sign * q >= 0]
            rungs.append(self._add(rungs[-1], symbol, amounts[symbol], states))
        return rungs

    def _any_states(self, amounts: Mapping[str, int]) -> bool:
        """Charges are counted from the lowest that can be reached, to keep them positive."""
        sums, lowest = 1, 0
        for symbol, n in amounts.items():
            states = self._table.states[symbol]
            bottom = min(states)
            sums = self._add(sums, symbol, n, [q - bottom for q in states])
            lowest += bottom * n
        return lowest <= 0 and bool(sums >> -lowest & 1)

    def _add(self, sums: int, symbol: str, n: int, states: Iterable[int]) -> int:
        """`sums` after `n` atoms of one more element with non-negative `states`."""
        if symbol in self._table.mixed:
            single = 0
            for q in states:
                single |= 1 << q
            return _sumset(sums, _repeated(single, n))
        joined = 0
        for q in states:
            joined |= sums << q * n
        return joined


def _sumset(one: int, other: int) -> int:
    """All sums of a member of `one` and a member of `other`."""
    joined = 0
    while other:
        lowest = other & -other
        joined |= one << lowest.bit_length() - 1
        other ^= lowest
    return joined


def _repeated(single: int, n: int) -> int:
    """All sums of `n` members of `single`, by squaring."""
    result, power = 1, single
    while n:
        if n & 1:
            result = _sumset(result, power)
        power = _sumset(power, power)
        n >>= 1
    return result
