"""From what an ensemble says of its error to intervals that hold what they promise.

The scale of an error is a log-linear function of the members' spread, of the error that they
expect, and of how far the crystal lies from the training data, fitted on validation crystals. How
many of these scales an interval must span is read off the same crystals' errors, each judged by a
fit that has not seen it (split conformal prediction, cross-fitted).

Sources: Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018), locally weighted conformal inference;
Barber et al., Ann. Stat. 49, 486 (2021), cross-conformal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]

_FOLDS = 5
_RIDGE = 1e-3
_LEVELS = 200
_FLOOR = 1e-4  # eV; an error of exactly zero has no logarithm


def features(spread: Floats, expected: Floats, distance: Floats) -> Floats:
    """(n, 4): a constant, and the logarithms of what tells how large an error may be."""
    columns = [np.ones_like(spread), *(np.log(x + _FLOOR) for x in (spread, expected, distance))]
    return np.stack(columns, axis=1)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of one target.

    Parameters
    ----------
    weights : (4,) of the logarithm of the scale, in standardised features
    centre, width : (4,) of the features
    scores : ascending errors over scales, at the levels 1/200, 2/200, ...; infinite where the
        validation data are too few to promise that level
    """

    weights: Floats
    centre: Floats
    width: Floats
    scores: Floats

    @classmethod
    def fit(cls, told: Floats, error: Floats) -> Self:
        """From features (n, 4) and absolute errors (n,) of crystals not learnt from."""
        centre, width = told.mean(axis=0), told.std(axis=0)
        centre[0], width[0] = 0.0, 1.0
        width[width < 1e-9] = 1.0
        x = (told - centre) / width
        fold = np.random.default_rng(0).permutation(len(x)) % _FOLDS
        apart = np.empty(len(x))
        for f in range(_FOLDS):
            mine = fold == f
            apart[mine] = error[mine] / np.exp(x[mine] @ _fit_scale(x[~mine], error[~mine]))
        ranked, n = np.sort(apart), len(apart)
        at = [math.ceil((n + 1) * level / _LEVELS) for level in range(1, _LEVELS)]
        scores = np.array([ranked[i - 1] if i <= n else math.inf for i in at])
        return cls(_fit_scale(x, error), centre, width, scores)

    def scale(self, told: Floats) -> Floats:
        """(n,) the scale of the error, in the target's unit."""
        return np.exp((told - self.centre) / self.width @ self.weights)

    def times(self, coverage: float) -> float:
        """Half the width of an interval of this coverage, in scales."""
        at = min(max(math.ceil(coverage * _LEVELS - 1e-9), 1), _LEVELS - 1)
        return float(self.scores[at - 1])

    def plain(self) -> dict[str, Any]:
        """For a file; infinite scores become null."""
        scores = [s if math.isfinite(s) else None for s in self.scores.tolist()]
        names = ("weights", "centre", "width")
        return {**{name: getattr(self, name).tolist() for name in names}, "scores": scores}

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> Self:
        """The inverse of `plain`."""
        scores = [math.inf if s is None else s for s in values["scores"]]
        return cls(
            *(np.array(values[name]) for name in ("weights", "centre", "width")), np.array(scores)
        )


def _fit_scale(x: Floats, error: Floats) -> Floats:
    """The likeliest log-linear scale of Laplace errors; a convex problem."""
    error = np.maximum(error, _FLOOR)

    def cost(w: Floats) -> tuple[float, Floats]:
        log_scale = x @ w
        ratio = error * np.exp(-log_scale)
        value = (ratio + log_scale).mean() + _RIDGE * (w[1:] ** 2).sum()
        slope = x.T @ (1 - ratio) / len(x)
        slope[1:] += 2 * _RIDGE * w[1:]
        return float(value), slope

    start = np.zeros(x.shape[1])
    start[0] = math.log(error.mean())
    return minimize(cost, start, jac=True, method="L-BFGS-B").x
