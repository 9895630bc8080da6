"""Whether two runs of a calculator came to the same."""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from stargen.calculators.steps import Batch
from stargen.crystal import Candidate


def difference(one: Batch, other: Batch, tolerance: float) -> str | None:
    """The first thing in which two results differ; None if they agree.

    Parameters
    ----------
    tolerance : relative and absolute, for numbers with a fraction
    """
    if one.end_of_source != other.end_of_source:
        return f"end of source {one.end_of_source} and {other.end_of_source}"
    drops = [[(d.candidate_id, d.reason) for d in batch.drops] for batch in (one, other)]
    if drops[0] != drops[1]:
        return f"drops {drops[0]} and {drops[1]}"
    ids = [[c.candidate_id for c in batch.candidates] for batch in (one, other)]
    if ids[0] != ids[1]:
        return f"candidates {ids[0]} and {ids[1]}"
    pairs = zip(one.candidates, other.candidates, strict=True)
    return next(filter(None, (_candidates_differ(a, b, tolerance) for a, b in pairs)), None)


def _candidates_differ(a: Candidate, b: Candidate, tolerance: float) -> str | None:
    for name in ("numbers", "lattice", "frac_coords"):
        if not agree(getattr(a.crystal, name), getattr(b.crystal, name), tolerance):
            return f"{a.candidate_id}: other {name}"
    for kind, mine, its in (("property", a.properties, b.properties), ("data", a.data, b.data)):
        for name in sorted(mine.keys() | its.keys()):
            if not agree(mine.get(name), its.get(name), tolerance):
                return f"{a.candidate_id}: {kind} {name} is {mine.get(name)} and {its.get(name)}"
    return None


def agree(a: Any, b: Any, tolerance: float) -> bool:
    """Equal, numbers with a fraction as far as the tolerance asks; NaN equals NaN."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        one, other = cast("NDArray[Any]", a), cast("NDArray[Any]", b)
        return _arrays_agree(np.asarray(one), np.asarray(other), tolerance)
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (a != a and b != b) or isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        one, other = cast("Mapping[Any, Any]", a), cast("Mapping[Any, Any]", b)
        return one.keys() == other.keys() and all(agree(one[k], other[k], tolerance) for k in one)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        one, other = cast("list[Any]", a), cast("list[Any]", b)
        return len(one) == len(other) and all(
            agree(x, y, tolerance) for x, y in zip(one, other, strict=True)
        )
    return bool(a == b)


def _arrays_agree(a: NDArray[Any], b: NDArray[Any], tolerance: float) -> bool:
    if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
        return False
    if a.dtype.kind != "f":
        return bool((a == b).all())
    return np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
