"""A set of whole numbers as ranges: how finished work is remembered."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class IntervalSet:
    """Disjoint half-open ranges in ascending order; neighbours are merged."""

    __slots__ = ("_his", "_los", "total")

    def __init__(self) -> None:
        self._los: list[int] = []
        self._his: list[int] = []
        self.total = 0
        """How many numbers are in the set."""

    def add(self, lo: int, hi: int) -> None:
        """Put [lo, hi) in; ValueError if any of it is there already."""
        los, his = self._los, self._his
        if los and lo == his[-1]:  # work mostly ends in order
            his[-1] = hi
            self.total += hi - lo
            return
        left = bisect_right(los, lo)
        if (left and his[left - 1] > lo) or (left < len(los) and los[left] < hi) or lo >= hi:
            raise ValueError(f"[{lo}, {hi}) overlaps what is there or is empty")
        joins_left = left > 0 and his[left - 1] == lo
        joins_right = left < len(los) and los[left] == hi
        if joins_left and joins_right:
            his[left - 1] = his[left]
            del los[left], his[left]
        elif joins_left:
            his[left - 1] = hi
        elif joins_right:
            los[left] = lo
        else:
            los.insert(left, lo)
            his.insert(left, hi)
        self.total += hi - lo

    @property
    def floor(self) -> int:
        """The first number >= 0 that is not in the set."""
        return self._his[0] if self._los and self._los[0] == 0 else 0

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._los, number)
        return index > 0 and self._his[index - 1] > number

    def gaps(self, hi: int) -> Iterator[tuple[int, int]]:
        """The ranges below `hi` that are not in the set."""
        at = 0
        for index in range(bisect_left(self._los, hi)):
            if self._los[index] > at:
                yield at, self._los[index]
            at = self._his[index]
        if at < hi:
            yield at, hi

    def as_list(self) -> list[list[int]]:
        return [self._los, self._his]

    @classmethod
    def from_list(cls, ranges: list[list[int]]) -> IntervalSet:
        made = cls()
        made._los, made._his = list(ranges[0]), list(ranges[1])
        made.total = sum(made._his) - sum(made._los)
        return made
