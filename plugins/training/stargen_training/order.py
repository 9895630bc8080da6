"""Which examples make which batch: a function of seed and step, with nothing to remember."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Order:
    """Shuffled passes over the data, cut into batches.

    What does not fill the last batch of a pass is left out of that pass; each pass is shuffled
    anew, so none is left out for long.
    """

    def __init__(self, size: int, batch: int, seed: int) -> None:
        if size < 1:
            raise ValueError("there are no examples to learn from")
        self.batch = min(batch, size)
        self.steps_a_pass = size // self.batch
        self._size, self._seed = size, seed
        self._pass = -1
        self._shuffled = np.empty(0, dtype=np.int64)

    def indices(self, step: int, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
        """Examples of the batch of `step` that fall to this process."""
        which, at = divmod(step, self.steps_a_pass)
        if which != self._pass:
            self._shuffled = np.random.default_rng((self._seed, 1, which)).permutation(self._size)
            self._pass = which
        return self._shuffled[at * self.batch : (at + 1) * self.batch][rank::world]

    def rng(self, step: int, rank: int = 0) -> np.random.Generator:
        """Chance for what is done to the examples of `step`."""
        return np.random.default_rng((self._seed, 2, step, rank))
