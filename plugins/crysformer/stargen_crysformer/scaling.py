"""What composition alone tells of a property: a linear fit, which the network need not learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stargen.elements import SYMBOLS

_RIDGE = 1e-3


@dataclass(frozen=True, slots=True)
class Scaling:
    """Between properties in their units and what the network gives.

    value = sum over elements of fraction x `elements` + `offset` + `scale` x output

    Parameters
    ----------
    elements : (119, targets) float64
    offset, scale : (targets,) float64
    known : (119,) bool, elements that the fit has seen
    """

    elements: NDArray[np.float64]
    offset: NDArray[np.float64]
    scale: NDArray[np.float64]
    known: NDArray[np.bool_]

    @classmethod
    def fit(cls, fractions: NDArray[np.float64], labels: NDArray[np.float64]) -> Self:
        """By ridge regression on training data, each target on the rows that have it."""
        targets = labels.shape[1]
        elements = np.zeros((fractions.shape[1], targets))
        offset, scale = np.zeros(targets), np.ones(targets)
        for t in range(targets):
            have = np.isfinite(labels[:, t])
            x, y = fractions[have], labels[have, t]
            offset[t] = y.mean()
            gram = x.T @ x + _RIDGE * len(x) / x.shape[1] * np.eye(x.shape[1])
            elements[:, t] = np.linalg.solve(gram, x.T @ (y - offset[t]))
            scale[t] = max(float(np.std(y - offset[t] - x @ elements[:, t])), 1e-6)
        return cls(elements, offset, scale, fractions.sum(axis=0) > 0)

    def knowing(self, fractions: NDArray[np.float64]) -> Self:
        """The same, with the elements of these crystals counted as seen."""
        return replace(self, known=self.known | (fractions.sum(axis=0) > 0))

    def base(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, targets): what composition alone tells."""
        return fractions @ self.elements + self.offset

    def normalized(
        self, fractions: NDArray[np.float64], labels: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """What the network is to give."""
        return (labels - self.base(fractions)) / self.scale

    def values(
        self, fractions: NDArray[np.float64], outputs: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """What the network says, in the properties' units."""
        return self.base(fractions) + self.scale * outputs

    def plain(self) -> dict[str, Any]:
        """For a header: only the elements that were seen."""
        return {
            "offset": self.offset.tolist(),
            "scale": self.scale.tolist(),
            "elements": {
                SYMBOLS[z]: self.elements[z].tolist() for z in np.flatnonzero(self.known).tolist()
            },
        }

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> Self:
        """The inverse of `plain`."""
        offset, scale = np.array(values["offset"]), np.array(values["scale"])
        elements, known = np.zeros((len(SYMBOLS), len(offset))), np.zeros(len(SYMBOLS), dtype=bool)
        for symbol, row in values["elements"].items():
            elements[SYMBOLS.index(symbol)], known[SYMBOLS.index(symbol)] = row, True
        return cls(elements, offset, scale, known)


def fractions_of(numbers: NDArray[np.uint8], atoms: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n_crystals, 119): parts of each element, from atoms that lie one crystal after another."""
    counts = np.zeros((len(atoms), len(SYMBOLS)))
    np.add.at(counts, (np.repeat(np.arange(len(atoms)), atoms), numbers), 1.0)
    return counts / atoms[:, None]


def errors(found: NDArray[np.float64], labels: NDArray[np.float64]) -> list[dict[str, float]]:
    """MAE, mean error, RMSE and R2 of each target on the rows that have it."""
    told: list[dict[str, float]] = []
    for t in range(labels.shape[1]):
        have = np.isfinite(labels[:, t])
        y, error = labels[have, t], found[have, t] - labels[have, t]
        spread = float(np.var(y)) if have.any() else 0.0
        told.append(
            {
                "n": int(have.sum()),
                "mae": float(np.abs(error).mean()) if have.any() else float("nan"),
                "bias": float(error.mean()) if have.any() else float("nan"),
                "rmse": float(np.sqrt((error**2).mean())) if have.any() else float("nan"),
                "r2": 1 - float((error**2).mean()) / spread if spread > 0 else float("nan"),
            }
        )
    return told


def bounded(values: NDArray[np.float64], targets: Sequence[str]) -> NDArray[np.float64]:
    """Band gaps are not negative."""
    gap = [t for t, name in enumerate(targets) if name.startswith("band_gap")]
    values = values.copy()
    values[:, gap] = np.maximum(values[:, gap], 0.0)
    return values
