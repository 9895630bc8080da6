"""What a campaign may set for each filter. Light: this is read where nothing heavy is installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from stargen.typed import Bounds

STATE_SETS = ("icsd24-consensus3", "icsd24", "icsd16", "smact14", "pymatgen_sp", "wiki")
"""Names of smact's oxidation-state sets. The first is what `smact_validity` takes by default (ions
seen at least three times in the ICSD of 2024); ``icsd24`` is smact's stricter printed list."""

NotNegative = Annotated[float, Bounds(least=0)]
Positive = Annotated[float, Bounds(above=0)]
Count = Annotated[int, Bounds(least=1)]

REFERENCE_FORMATS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".extxyz", ".xyz")


@dataclass(frozen=True, slots=True)
class CompositionParams:
    """The campaign's `chemistry` holds too; the stricter limit wins.

    Parameters
    ----------
    max_elements : more different elements than these are too many
    """

    max_elements: Count = 10


@dataclass(frozen=True, slots=True)
class ChargeParams:
    """Which rules make a composition plausible; rates under different rules do not compare.

    Parameters
    ----------
    states : icsd24-consensus3, icsd24, icsd16, smact14, pymatgen_sp or wiki, which are smact's
        sets of oxidation states; or a file of lines ``symbol state state ...``
    pauling : every cation must be less electronegative than every anion
    alloys : accept compositions of metals alone
    mixed_valence : let the elements that smact lists for it take several states at once
    """

    states: str = STATE_SETS[0]
    pauling: bool = True
    alloys: bool = True
    mixed_valence: bool = False

    @property
    def rules(self) -> str:
        """The option set in words, as it is stored beside each verdict."""
        switches = ("pauling", "alloys", "mixed_valence")
        return " ".join([self.states, *(s for s in switches if getattr(self, s))])


@dataclass(frozen=True, slots=True)
class GeometryParams:
    """Bounds outside of which a crystal is no crystal.

    The density bounds leave room on both sides of every solid in the Materials Project's 20-atom
    set (0.04 to 22.0 g/cm^3).

    Parameters
    ----------
    min_distance_ang : least distance of two atoms, images included
    min_volume_ang3 : least volume of the cell
    min_density_g_cm3, max_density_g_cm3 : bounds of the density
    """

    min_distance_ang: NotNegative = 0.5
    min_volume_ang3: NotNegative = 0.1
    min_density_g_cm3: NotNegative = 0.02
    max_density_g_cm3: Positive = 25.0


@dataclass(frozen=True, slots=True)
class SymmetryParams:
    """`symprec_ang` judges; at `strict_symprec_ang` the number is only stored.

    A tolerance below about ten times the noise of the coordinates reads symmetric crystals as P1,
    so `drop_p1` belongs after a relaxation.

    Parameters
    ----------
    symprec_ang : tolerance for the property `spacegroup`, which judges
    strict_symprec_ang : tolerance for the property `spacegroup_strict`
    drop_p1 : whether crystals without symmetry are dropped
    """

    symprec_ang: Positive = 0.1
    strict_symprec_ang: Positive = 0.01
    drop_p1: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class UniqueParams:
    """When two crystals of one reduced formula count as the same.

    Parameters
    ----------
    threshold : largest distance of the neighbour profiles that is still handed to the matcher,
        in units of (volume per atom)^(1/3); larger is safer and slower. Between prototypes and
        their distorted copies (`benchmarks/screening.py`) 0.15 kept every match and spared the
        matcher 63 % of the other pairs; loose matches of unlike prototypes can lie beyond it
    neighbours : neighbours per pair of elements in the profile
    ltol, stol, angle_tol_deg : tolerances of pymatgen's StructureMatcher
    symprec_ang : tolerance of the search for the primitive cell
    """

    threshold: NotNegative = 0.15
    neighbours: Count = 8
    ltol: Positive = 0.2
    stol: Positive = 0.3
    angle_tol_deg: Positive = 5.0
    symprec_ang: Positive = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class NovelParams(UniqueParams):
    """A candidate that matches a crystal of `reference` is known.

    Parameters
    ----------
    reference : CSV with a ``cif`` column, JSON lines of pymatgen structures, or extended XYZ
    id_column : column, key or comment field that names a reference crystal
    formula_column : CSV column with formulas, where the CIF's own should not be read
    """

    reference: str
    id_column: str = "material_id"
    formula_column: str | None = None
