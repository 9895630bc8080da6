"""Elemental reference energies: what formation energies are counted from."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from stargen_stability.tables import rows

SHIPPED = ("mp-2023-02-07",)
"""Tables that come with the package, by name."""


@dataclass(frozen=True, slots=True)
class ElementalReference:
    """Energies of the elements on one scale.

    Parameters
    ----------
    name : of the table or its file
    scale : the correction scheme that total energies must be on, e.g. ``mp2020``
    energies : {symbol: total energy, eV/atom}
    """

    name: str
    scale: str
    energies: Mapping[str, float]

    def formation_energy(self, amounts: Mapping[str, float], energy_per_atom: float) -> float:
        """Formation energy, eV/atom.

        Raises
        ------
        KeyError : if the table leaves out an element, named
        """
        total = sum(amounts.values())
        parts = sum(amount * self.energies[symbol] for symbol, amount in amounts.items())
        return energy_per_atom - parts / total


def shipped(name: str) -> ElementalReference:
    """One of the tables of the package."""
    text = (files("stargen_stability") / f"{name}.toml").read_text("utf-8")
    table = tomllib.loads(text)
    return ElementalReference(name, table["energy_scheme"], table["energy_per_atom"])


def from_file(path: Path, scale: str) -> ElementalReference:
    """A table with the columns ``element`` and ``energy_per_atom``.

    Raises
    ------
    ValueError : naming the row that cannot be used
    """
    energies: dict[str, float] = {}
    for number, row in enumerate(rows(path), 1):
        try:
            energies[str(row["element"])] = float(row["energy_per_atom"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name}, row {number}: {error!r}") from error
    return ElementalReference(path.name, scale, energies)
