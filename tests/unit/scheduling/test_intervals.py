import pytest
from hypothesis import given
from hypothesis import strategies as st

from stargen.scheduling.intervals import IntervalSet


@given(st.permutations(range(12)), st.lists(st.integers(1, 5), min_size=12, max_size=12))
def test_it_agrees_with_a_plain_set(order, widths):
    starts = [sum(widths[:i]) for i in range(12)]
    ranges, plain = IntervalSet(), set[int]()
    for index in order:
        lo, hi = starts[index], starts[index] + widths[index]
        ranges.add(lo, hi)
        plain.update(range(lo, hi))
        assert ranges.total == len(plain)
        assert ranges.floor == next(n for n in range(100) if n not in plain)
        assert all((n in ranges) == (n in plain) for n in range(-1, 62))
        missing = {n for lo, hi in ranges.gaps(60) for n in range(lo, hi)}
        assert missing == set(range(60)) - plain
        assert IntervalSet.from_list(ranges.as_list()).as_list() == ranges.as_list()
    assert len(ranges.as_list()[0]) == 1


@pytest.mark.parametrize(("lo", "hi"), [(2, 4), (4, 6), (9, 11), (0, 20), (3, 3), (5, 4)])
def test_overlap_and_emptiness_are_errors(lo, hi):
    ranges = IntervalSet()
    ranges.add(3, 5)
    ranges.add(10, 12)
    with pytest.raises(ValueError, match="overlaps"):
        ranges.add(lo, hi)
