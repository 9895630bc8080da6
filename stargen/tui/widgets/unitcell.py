"""A unit cell that turns, drawn in braille."""

from __future__ import annotations

from itertools import product

import numpy as np

from stargen.crystal import Crystal
from stargen.tui.ink import Drawn, Line
from stargen.tui.widgets.marks import Braille

_TURN_S = 0.25
_STEP = 0.12
_TILT = 0.35
_INKS = ("heat2", "heat4", "heat1", "heat3", "accent", "warn", "good")
_ATOMS = 200
"""More than these would be a blot."""


def inks(crystal: Crystal) -> dict[str, str]:
    """A style for each element, in the order in which they come."""
    elements = list(dict.fromkeys(crystal.symbols))
    return {symbol: _INKS[i % len(_INKS)] for i, symbol in enumerate(elements)}


def picture(crystal: Crystal, angle: float, width: int, height: int) -> list[Line]:
    """The cell from the side, turned by `angle` radians about its long axis."""
    canvas = Braille(width, height)
    lattice = np.asarray(crystal.lattice, dtype=float)
    corners = np.array(list(product((0.0, 1.0), repeat=3)))
    sites = np.mod(np.asarray(crystal.frac_coords, dtype=float), 1.0)[:_ATOMS]
    turned = _turn(angle)
    centre = lattice.sum(axis=0) / 2
    points = (corners @ lattice - centre) @ turned
    atoms = (sites @ lattice - centre) @ turned
    reach = float(np.linalg.norm(points, axis=1).max()) or 1.0
    scale = min(width * 2, height * 4) / 2 / reach * 0.95
    offset = np.array([width, height * 2])

    def place(point: np.ndarray) -> tuple[float, float]:
        x, y = point[:2] * (scale, -scale) + offset
        return float(x), float(y)

    for a, b in product(range(8), repeat=2):
        if a < b and np.abs(corners[a] - corners[b]).sum() == 1:
            canvas.line(*place(points[a]), *place(points[b]), "dim")
    colours = inks(crystal)
    symbols = crystal.symbols
    for index in np.argsort(atoms[:, 2]):  # the nearest last
        nearness = 0.5 + float(atoms[index, 2]) / (2 * reach)
        canvas.disc(*place(atoms[index]), 1.2 + nearness, colours[symbols[int(index)]])
    return canvas.lines()


def _turn(angle: float) -> np.ndarray:
    """Rotation about the vertical, then a tilt towards the viewer."""
    c, s = np.cos(angle), np.sin(angle)
    ct, st = np.cos(_TILT), np.sin(_TILT)
    about = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    tilt = np.array([[1, 0, 0], [0, ct, st], [0, -st, ct]])
    return about @ tilt


class UnitCell(Drawn):
    """Turns its crystal as long as it is seen; TEXTUAL_ANIMATIONS=none keeps it still."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._crystal: Crystal | None = None
        self._angle = 0.4

    def on_mount(self) -> None:
        if self.app.animation_level != "none":
            self.set_interval(_TURN_S, self._turn_on)

    def give(self, crystal: Crystal | None) -> None:
        self._crystal = crystal
        self.redraw()

    def _turn_on(self) -> None:
        if self._crystal is not None and self.screen.is_current:
            self._angle += _STEP
            self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        return [] if self._crystal is None else picture(self._crystal, self._angle, width, height)
