"""What must be known before a heavy import; Star-gen reads this when a campaign names it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stargen.calculators.contract import CalculatorInfo


@dataclass(frozen=True, slots=True)
class MeanParams:
    """Parameters of `bondstats.mean`.

    Parameters
    ----------
    max_ang : a candidate whose mean is longer is dropped; None keeps all
    """

    max_ang: float | None = None


def _check(params: MeanParams, folder: Path) -> Iterator[str]:
    if params.max_ang is not None and params.max_ang <= 0:
        yield f"max_ang is {params.max_ang}; it must be positive"


mean = CalculatorInfo(
    name="bondstats.mean",
    api=1,
    factory="stargen_bondstats.calculator:Mean",
    params=MeanParams,
    check=_check,
    properties=("mean_bond_ang",),
    summary="Mean distance of an atom to its nearest neighbour",
)
