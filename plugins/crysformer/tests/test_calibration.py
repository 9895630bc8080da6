import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stargen_crysformer.calibration import Calibration, features


def synthetic(n, seed):
    """Laplace errors, their scale told in part by the spread, by what is expected, and noise."""
    rng = np.random.default_rng(seed)
    scale = np.exp(rng.normal(-3, 0.8, n))
    spread = scale * np.exp(rng.normal(0, 0.4, n))
    expected = scale**0.5 * np.exp(rng.normal(0, 0.3, n))
    return features(spread, expected, rng.uniform(0.2, 2, n)), np.abs(rng.laplace(0, scale))


@pytest.mark.parametrize("coverage", [0.5, 0.68, 0.9, 0.95])
def test_intervals_cover_what_they_promise(coverage):
    """On crystals that the fit has not seen, over several sets of them."""
    found = []
    for seed in range(6):
        fitted = Calibration.fit(*synthetic(1500, seed))
        told, error = synthetic(4000, seed + 100)
        found.append((error <= fitted.scale(told) * fitted.times(coverage)).mean())
    assert np.mean(found) == pytest.approx(coverage, abs=0.01)
    assert np.ptp(found) < 0.06


def test_the_scale_orders_errors():
    fitted = Calibration.fit(*synthetic(1500, 1))
    told, error = synthetic(4000, 2)
    half = np.argsort(fitted.scale(told))[:2000]
    assert error[half].mean() < 0.6 * error.mean()


def test_too_few_crystals_promise_nothing_more_than_they_can():
    fitted = Calibration.fit(*synthetic(12, 0))
    assert math.isfinite(fitted.times(0.9))
    assert fitted.times(0.95) == math.inf
    back = Calibration.from_plain(json.loads(json.dumps(fitted.plain())))
    assert np.array_equal(back.scores, fitted.scores)
    told, _ = synthetic(5, 3)
    assert np.array_equal(back.scale(told), fitted.scale(told))


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_wider_promises_have_wider_intervals(seed):
    fitted = Calibration.fit(*synthetic(60, seed))
    assert (np.diff(fitted.scores[np.isfinite(fitted.scores)]) >= 0).all()
    assert fitted.times(0.5) <= fitted.times(0.9) <= fitted.times(0.99)


def test_features_that_do_not_vary_are_no_trouble():
    told = features(np.zeros(50), np.full(50, 0.1), np.ones(50))
    error = np.abs(np.random.default_rng(0).laplace(0, 0.05, 50))
    fitted = Calibration.fit(told, error)
    assert fitted.scale(told) == pytest.approx(np.full(50, error.mean()), rel=0.02)
