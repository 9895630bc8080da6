"""Host names with ranges."""

import pytest

from stargen.hosts import expand


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("login", ["login"]),
        ("cn[1-3,7]", ["cn1", "cn2", "cn3", "cn7"]),
        ("cn[008-011]", ["cn008", "cn009", "cn010", "cn011"]),
        ("r[1-2]n[01-02].site", ["r1n01.site", "r1n02.site", "r2n01.site", "r2n02.site"]),
        ("10.77.0.[11-12]", ["10.77.0.11", "10.77.0.12"]),
    ],
)
def test_ranges_are_written_out(pattern, hosts):
    assert expand(pattern) == hosts


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "no name"),
        ("cn 1", "no name"),
        ("cn[1-3", "bracket"),
        ("cn]1[", "bracket"),
        ("cn[a-b]", "is meant"),
        ("cn[]", "is meant"),
        ("cn[9-1]", "write 1-9"),
        ("cn[0-999999999]", "more than"),
        ("c[0-999]n[0-999]", "more than"),
    ],
)
def test_what_is_no_range_is_refused(pattern, said):
    with pytest.raises(ValueError, match=said):
        expand(pattern)
