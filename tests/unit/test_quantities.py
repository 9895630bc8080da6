import pytest

from stargen.quantities import clock, count, duration, rate


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (18_190, "5 h 3 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("per_s", "text"),
    [
        (0, "-"),
        (1234, "1,234/s"),
        (12.34, "12/s"),
        (0.5, "30/min"),
        (0.002, "7.2/h"),
        (1e-6, "0.0036/h"),
    ],
)
def test_rates_choose_their_unit(per_s, text):
    assert rate(per_s) == text


def test_counts_and_times():
    assert count(1234567) == "1,234,567"
    assert len(clock(1000.0)) == 8
