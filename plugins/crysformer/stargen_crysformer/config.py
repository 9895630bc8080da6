"""What a Crysformer looks like, in the notation of irreducible representations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from stargen.errors import UserError

_IRREPS = re.compile(r"\s*(\d+)x0e?\s*(?:\+\s*(\d+)x1e?\s*)?")


@dataclass(frozen=True, slots=True)
class Channels:
    """How many scalars and vectors a feature has, ``128x0e+32x1e``.

    Vectors do not change sign under inversion here: the group is SE(3), as in the paper, which lets
    the cross product of two vectors be one.
    """

    scalars: int
    vectors: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the notation; UserError if it says anything else."""
        match = _IRREPS.fullmatch(text)
        if match is None or int(match[1]) == 0:
            raise UserError(
                f"{text!r} is not understood", key="irreps", hint='write "64x0e+16x1e", l up to 1'
            )
        return cls(int(match[1]), int(match[2] or 0))

    def __str__(self) -> str:
        return f"{self.scalars}x0e+{self.vectors}x1e"


@dataclass(frozen=True, slots=True)
class Config:
    """Architecture of one network.

    Parameters
    ----------
    irreps : features of an atom between blocks
    blocks, heads : of the attention; without blocks the composition is all that is seen
    attention : channels of a head that its logit is made from
    neighbours : k of the k nearest neighbours
    basis : radial basis functions
    radial : widths of the hidden layers between basis and the weights of tensor products
    cutoff_ang : the scale of the radial basis; edges are cut by k and not by it
    widening : of the hidden layer of the feed-forward part
    dropout : of attention weights, in training
    targets : properties in the order of the outputs
    """

    irreps: str = "64x0e+16x1e"
    blocks: int = 3
    heads: int = 8
    attention: int = 8
    neighbours: int = 12
    basis: int = 48
    radial: tuple[int, ...] = (32,)
    cutoff_ang: float = 8.0
    widening: int = 2
    dropout: float = 0.0
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        channels = self.channels
        if self.blocks < 0:
            raise UserError(f"must not be negative, not {self.blocks}", key="blocks")
        for name in ("heads", "attention", "neighbours", "basis", "widening"):
            if getattr(self, name) < 1:
                raise UserError(f"must be at least 1, not {getattr(self, name)}", key=name)
        if channels.scalars % self.heads or channels.vectors % self.heads:
            raise UserError(
                f"{self.heads} heads do not divide {channels}",
                key="heads",
                hint="scalars and vectors must be multiples of the heads",
            )

    @property
    def channels(self) -> Channels:
        return Channels.parse(self.irreps)

    def plain(self) -> dict[str, Any]:
        """For a header."""
        return asdict(self) | {"radial": list(self.radial), "targets": list(self.targets)}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `plain`."""
        tuples = {name: tuple(values[name]) for name in ("radial", "targets")}
        return cls(**{**values, **tuples})


PRESETS: dict[str, Config] = {
    "composition": Config(irreps="256x0e", blocks=0),
    "tiny": Config(irreps="32x0e+8x1e", blocks=2, basis=32),
    "small": Config(),
    "medium": Config(irreps="128x0e+32x1e", blocks=4, attention=16, basis=64, radial=(64,)),
    "paper": Config(
        irreps="512x0e+128x1e",
        blocks=6,
        attention=64,
        basis=128,
        radial=(64, 64),
        widening=3,
        dropout=0.2,
    ),
}
"""`paper` is the published size; a CPU trains `small` in hours and `tiny` in minutes. `composition`
does not see the structure."""


def preset(name: str, **changes: Any) -> Config:
    """A preset with some values changed; None leaves a value as it is."""
    if name not in PRESETS:
        raise UserError(f"there is no model {name}", key="model", hint=f"one of {[*PRESETS]}")
    given = {key: value for key, value in changes.items() if value is not None}
    return replace(PRESETS[name], **given)
