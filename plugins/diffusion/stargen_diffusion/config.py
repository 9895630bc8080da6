"""What a network is made of; written into its file of weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

from stargen.typed import Bounds
from stargen_diffusion.lattices import LatticeForm

N_TYPES = 100
"""Elements that a network can tell apart: class k is atomic number k + 1."""

HIDDEN_TYPE = N_TYPES
"""The class of a masked atom."""

TypeForm = Literal["onehot", "masked", "known"]
Count = Annotated[int, Bounds(least=1)]
Share = Annotated[float, Bounds(least=0, most=1)]


@dataclass(frozen=True, slots=True)
class NetConfig:
    """The network and what it diffuses. The defaults are the small one that Star-gen ships.

    Parameters
    ----------
    layers, hidden, frequencies : depth, width, Fourier terms for each axis
    steps : T
    lattice : numbers that stand for the cell, see `stargen_diffusion.lattices`
    types : one-hot vectors with noise (the paper), hidden with a probability, or always known (CSP)
    known_below : masked types are all known below this part of T
    mean_free : targets and scores of the coordinates sum to zero in each crystal
    counts : the network is told how many atoms there are, and which part of them is of each type;
        a mean over neighbours tells neither exactly
    edge_layers : 2 as in the paper; 1 applies the second linear map after the mean over neighbours
    """

    layers: Count = 4
    hidden: Count = 128
    frequencies: Count = 32
    steps: Annotated[int, Bounds(least=2)] = 1000
    lattice: LatticeForm = "polar"
    types: TypeForm = "masked"
    known_below: Share = 0.3
    mean_free: bool = True
    counts: bool = True
    edge_layers: Annotated[int, Bounds(least=1, most=2)] = 2

    def plain(self) -> dict[str, Any]:
        """For a header or a checkpoint."""
        return asdict(self)


MEDIUM = NetConfig(layers=6, hidden=320, frequencies=64)
"""To be trained on a GPU; on a CPU it samples at a seventh of the small one's speed."""

PAPER = NetConfig(
    layers=6,
    hidden=512,
    frequencies=128,
    lattice="raw",
    types="onehot",
    mean_free=False,
    counts=False,
)
"""As printed; 12.3 million parameters."""

PRESETS = {
    "small": NetConfig(),
    "small-csp": NetConfig(types="known"),
    "medium": MEDIUM,
    "medium-csp": replace(MEDIUM, types="known"),
    "paper": PAPER,
    "paper-csp": replace(PAPER, types="known"),
}
