"""How many atoms a crystal gets, and when that turns from the data's way to chance.

Crystals are computed together with others of their size. So `BLOCK` ordinals in a row have one
size, and the blocks walk through the distribution evenly (a golden-ratio sequence), which is closer
to it after a thousand crystals than a thousand draws are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any

from stargen.calculators.contract import SourceStats

if TYPE_CHECKING:
    from stargen_diffusion.info import SampleParams

BLOCK = 16

_GOLDEN = (sqrt(5) - 1) / 2
_ROOT_TWO = sqrt(2) - 1
_ENOUGH_VERDICTS = 500
_ALL_RANDOM_AT = 0.9
"""Of `switch_below`: there all sizes are random; a tenth of the way, a tenth of them."""


class Sizes:
    """Number of atoms by ordinal.

    Parameters
    ----------
    counts : how many crystals of the data have 0, 1, 2, ... atoms
    start : in [0, 1), the seed's
    max_atoms : of random sizes; the largest of the data if None
    random_share : part of the blocks whose sizes are uniformly random
    """

    def __init__(
        self, counts: Sequence[int], start: float, *, max_atoms: int | None, random_share: float
    ) -> None:
        self._counts, self._start, self._random_share = counts, start, random_share
        self._max_atoms = max_atoms or len(counts) - 1

    def of(self, ordinal: int) -> int:
        """The size of this one."""
        block = ordinal // BLOCK
        place = (self._start + block * _GOLDEN) % 1.0
        if (self._start + block * _ROOT_TWO) % 1.0 < self._random_share:
            return 1 + int(place * self._max_atoms)
        goal, passed = place * sum(self._counts), 0
        for n, count in enumerate(self._counts):
            passed += count
            if goal < passed:
                return n
        return len(self._counts) - 1


def steer_sizes(params: SampleParams, stats: SourceStats) -> Mapping[str, Any] | None:
    """The share of random sizes for what has become of the candidates so far.

    What is under way has no verdict yet and does not count. The share moves in tenths, so that the
    journal does not note every candidate.
    """
    if params.size != "data-then-random" or params.valid_job not in stats.kept:
        return None
    kept = stats.kept[params.valid_job]
    judged = kept + sum(sum(reasons.values()) for reasons in stats.dropped.values())
    if judged < _ENOUGH_VERDICTS:
        return None
    lack = 1 - kept / judged / params.switch_below if params.switch_below else 0.0
    share = min(max(lack / (1 - _ALL_RANDOM_AT), 0.0), 1.0)
    return {"random_share": round(share, 1)}
