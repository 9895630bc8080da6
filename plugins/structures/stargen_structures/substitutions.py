"""Which ions may stand in for those of a prototype: charge-balanced, likely enough, all of them.

A prototype takes part if one oxidation state for each of its elements balances it; of several such
choices the one whose ions are commonest in the model counts. Elements and alloys do not take part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from stargen.model import Chemistry
from stargen_structures.prototypes import Prototype
from stargen_structures.species import Floats, SpeciesTable
from stargen_structures.volumes import Radii

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class IonicPrototype:
    """A prototype with its ions: `species[k]` is that of its k-th element, in the table's order."""

    prototype: Prototype
    species: Indices


@dataclass(frozen=True, slots=True)
class Substitution:
    """One crystal that may be made.

    Parameters
    ----------
    species : (n_elements,) the ions that replace those of `origin`
    probability : product over the ions replaced
    length_ratio : by how much the lattice vectors grow
    """

    origin: IonicPrototype
    species: Indices
    probability: float
    length_ratio: float


def ionic_prototypes(prototypes: list[Prototype], table: SpeciesTable) -> Iterator[IonicPrototype]:
    """Those that some choice of ions balances."""
    ions = {s: np.flatnonzero(table.symbols == s) for s in np.unique(table.symbols).tolist()}
    for prototype in prototypes:
        choices = product(*(ions.get(e, ()) for e in prototype.elements))
        balanced = [list(c) for c in choices if prototype.amounts @ table.charges[list(c)] == 0]
        if balanced:
            commonest = max(balanced, key=lambda c: float(np.log(table.frequency[c]).sum()))
            yield IonicPrototype(prototype, np.array(commonest))


def substitutions(
    origin: IonicPrototype,
    table: SpeciesTable,
    radii: Radii,
    chemistry: Chemistry,
    threshold: float,
) -> list[Substitution]:
    """All that may be made of one prototype, with at least that probability.

    The prototype's own ions are left out, for nothing would be substituted, and so are ions
    without a radius.
    """
    limit = chemistry.max_elements
    if limit is not None and len(origin.species) > limit:
        return []
    species, probability = _likely(origin, table, chemistry, threshold)
    good = table.charges[species] @ origin.prototype.amounts == 0
    good &= (species != origin.species).any(axis=1)
    for required in chemistry.require:
        good &= (table.symbols[species] == required).any(axis=1)
    species, probability = species[good], probability[good]
    ratios = radii.length_ratio(species, origin.species, origin.prototype.amounts)
    return [
        Substitution(origin, ions, chance, ratio)
        for ions, chance, ratio in zip(species, probability.tolist(), ratios.tolist(), strict=True)
        if isfinite(ratio)
    ]


def shuffled(found: list[Substitution], rng: np.random.Generator) -> list[Substitution]:
    """The likelier the sooner, and each prototype with the same weight as the next.

    Source: Efraimidis & Spirakis, Inf. Process. Lett. 97, 181 (2006), sampling without replacement
    by weighted exponential keys.
    """
    weights = np.array([s.probability for s in found])
    totals = defaultdict[int, float](float)
    for substitution, weight in zip(found, weights.tolist(), strict=True):
        totals[id(substitution.origin)] += weight
    weights /= [totals[id(substitution.origin)] for substitution in found]
    keys = rng.exponential(size=len(found)) / weights
    return [found[i] for i in np.argsort(keys, kind="stable")]


def _likely(
    origin: IonicPrototype, table: SpeciesTable, chemistry: Chemistry, threshold: float
) -> tuple[Indices, Floats]:
    """Choices of ions of different, admitted elements, balanced or not.

    The tree of choices is cut where even the best ions for the rest would fall below `threshold`.
    """
    usable = np.array([chemistry.admits(symbol) for symbol in table.symbols.tolist()])
    chance = table.conditional[:, origin.species] * usable[:, None]
    best_rest = np.append(np.cumprod(chance.max(axis=0)[::-1])[::-1][1:], 1.0)
    species = np.empty((1, 0), dtype=np.intp)
    probability = np.ones(1)
    for column, rest in zip(chance.T, best_rest, strict=True):
        grown = probability[:, None] * column
        old, new = np.nonzero(grown * rest >= threshold)
        differs = (table.symbols[species[old]] != table.symbols[new][:, None]).all(axis=1)
        old, new = old[differs], new[differs]
        species = np.column_stack([species[old], new])
        probability = grown[old, new]
    return species, probability
