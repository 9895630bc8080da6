"""Many crystals: grouped by size, cut into chunks, finished or given up with a reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stargen import Crystal
from stargen_diffusion.lattices import NoCellError
from stargen_diffusion.revealing import Palette
from stargen_diffusion.sampling import Chunk, Draw, Sampler

SMALLEST_VOLUME_ANG3 = 0.1


@dataclass(frozen=True, slots=True)
class Order:
    """One crystal to make.

    Parameters
    ----------
    draw : its chance
    types : (n_atoms,) classes, for CSP
    """

    n_atoms: int
    draw: Draw
    palette: Palette
    types: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """An order that came to nothing; `reason` is counted, `detail` read."""

    reason: str
    detail: str = ""


Made = Crystal | Refused


class Interrupted(Exception):
    """Asked to stop; the state was kept."""


class Workshop:
    """Takes orders through a sampler.

    Parameters
    ----------
    after_step : told steps done and to do; True to stop now
    keep : is handed the state every `keep_every` steps, and before stopping
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        after_step: Callable[[int, int], bool] = lambda done, total: False,
        keep: Callable[[dict[str, Any]], None] = lambda state: None,
        keep_every: int = 50,
    ) -> None:
        self._sampler = sampler
        self._after_step, self._keep, self._keep_every = after_step, keep, keep_every

    def make(self, orders: Sequence[Order], state: dict[str, Any] | None = None) -> list[Made]:
        """What became of each order.

        Parameters
        ----------
        state : what `keep` was handed by an earlier attempt at the same orders; on another device
            a chunk that was going begins again

        Raises
        ------
        Interrupted : if told to stop
        """
        chunks = list(_chunks(orders, self._sampler.chunk_pairs))
        steps = len(self._sampler.times) - 1
        made: dict[int, Made] = {int(k): _thawed(v) for k, v in (state or {}).get("made", [])}
        going = (state or {}).get("going")
        for number, together in enumerate(chunks):
            members = [m for m in together if m not in made]
            if not members:
                continue
            chunk = self._begin([orders[m] for m in members])
            if going is not None and going.get("members") == members:
                chunk.restore(going)
            while not self._sampler.done(chunk):
                self._sampler.step(chunk)
                stop = self._after_step(number * steps + chunk.at, len(chunks) * steps)
                if stop or chunk.at % self._keep_every == 0:
                    frozen = [(k, _frozen(v)) for k, v in made.items()]
                    self._keep({"made": frozen, "going": {"members": members, **chunk.state()}})
                if stop:
                    raise Interrupted
            for member, result in zip(members, self._finish(chunk), strict=True):
                made[member] = result
        return [made[at] for at in range(len(orders))]

    def _begin(self, orders: Sequence[Order]) -> Chunk:
        given = [order.types for order in orders if order.types is not None]
        return self._sampler.begin(
            orders[0].n_atoms,
            [order.draw for order in orders],
            [order.palette for order in orders],
            np.array(given) if given else None,
        )

    def _finish(self, chunk: Chunk) -> Iterator[Made]:
        code = self._sampler.model.statistics.code
        coords, lattices = chunk.coords.double().numpy(), chunk.lattice.double().numpy()
        classes = self._sampler.classes(chunk)
        for at, palette in enumerate(chunk.palettes):
            if self._sampler.model.config.types != "known" and not palette.admits(classes[at]):
                yield Refused("outside the chemistry")
                continue
            try:
                lattice = code.decode(lattices[at], len(coords[at]))
                crystal = Crystal.of(lattice, coords[at] % 1.0, classes[at] + 1)
            except NoCellError as error:
                yield Refused("no cell", str(error))
            except ValueError as error:
                yield Refused("no crystal", str(error))
            else:
                small = crystal.volume < SMALLEST_VOLUME_ANG3
                yield Refused("no volume", f"{crystal.volume:.1e} Å^3") if small else crystal


def _chunks(orders: Sequence[Order], pairs: int) -> Iterator[list[int]]:
    """Numbers of orders that go together, equal sizes only."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for at, order in enumerate(orders):
        by_size[order.n_atoms].append(at)
    for n, members in sorted(by_size.items()):
        size = max(1, pairs // n**2)
        for at in range(0, len(members), size):
            yield members[at : at + size]


def _frozen(made: Made) -> Any:
    if isinstance(made, Refused):
        return made.reason, made.detail
    return made.lattice, made.frac_coords, made.numbers


def _thawed(frozen: Any) -> Made:
    return Refused(*frozen) if len(frozen) == 2 else Crystal.of(*frozen)
