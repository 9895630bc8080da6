"""What is known of `stability.hull` before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stargen.calculators.contract import CalculatorInfo
from stargen.model import Shape


@dataclass(frozen=True, slots=True)
class ReferenceParams:
    """What energies are placed against.

    Parameters
    ----------
    reference : file of competing phases (CSV, JSON, either gzipped, or Parquet) with a column
        reduced_formula and a column formation_energy_per_atom or energy_per_atom (eV/atom);
        without it the elements and the candidates themselves are the reference
    reference_scheme : corrections that the reference's energies carry
    elements : elemental reference energies: a table that comes with the package, or a file with
        the columns element and energy_per_atom
    elements_scheme : corrections that go with the energies of such a file
    database : URL of a Star-gen database whose materials compete in e_above_hull_self
    """

    reference: str | None = None
    reference_scheme: str = "mp2020"
    elements: str = "mp-2023-02-07"
    elements_scheme: str = "mp2020"
    database: str | None = None


@dataclass(frozen=True, slots=True)
class PredictedParams(ReferenceParams):
    """Parameters of `stability.predicted`.

    Parameters
    ----------
    stable_below : energy above hull, eV/atom, that stable_probability_pred is the probability of
        not exceeding
    """

    stable_below: float = 0.1


@dataclass(frozen=True, slots=True)
class HullParams(ReferenceParams):
    """Parameters of `stability.hull`.

    Parameters
    ----------
    energy : the candidates' property to read, eV/atom
    energy_is : whether that is a total or a formation energy
    energy_scheme : scheme of candidates that do not state their own
    """

    energy: str = "energy_per_atom"
    energy_is: Literal["total", "formation"] = "total"
    energy_scheme: str | None = None


def _is_shipped(params: ReferenceParams) -> bool:
    from stargen_stability.elemental import SHIPPED

    return params.elements in SHIPPED


def _check(params: ReferenceParams, folder: Path) -> Iterable[str]:
    from stargen_stability.elemental import SHIPPED
    from stargen_stability.tables import columns, missing_columns

    if params.reference is not None:
        try:
            lack = missing_columns(folder / params.reference)
            if lack:
                yield f"reference {params.reference}: {lack}"
        except (ValueError, OSError) as error:
            yield f"reference {params.reference}: {error}"
    if not _is_shipped(params):
        try:
            lacks = {"element", "energy_per_atom"} - set(columns(folder / params.elements))
            if lacks:
                yield f"elements {params.elements}: no column {' or '.join(sorted(lacks))}"
        except (ValueError, OSError) as error:
            yield (
                f"elements {params.elements}: neither a table of the package "
                f"({', '.join(SHIPPED)}) nor a file that can be read: {error}"
            )


def _reads(params: ReferenceParams) -> Iterable[str]:
    if params.reference is not None:
        yield params.reference
    if not _is_shipped(params):
        yield params.elements


hull = CalculatorInfo(
    name="stability.hull",
    api=1,
    factory="stargen_stability.calculator:Hull",
    shape=Shape.GATHER,
    params=HullParams,
    affinity=lambda params: params.reference,
    check=_check,
    reads=_reads,
    properties=(
        "formation_energy_per_atom",
        "e_above_hull",
        "e_above_hull_self",
        "hull_reference",
        "hull_note",
        "energy_scheme",
    ),
    reuse="never",
    summary="Formation energy and energy above the convex hull, named reference",
    source="10.1021/cm702327g",
)

predicted = CalculatorInfo(
    name="stability.predicted",
    api=1,
    factory="stargen_stability.calculator:PredictedHull",
    shape=Shape.GATHER,
    params=PredictedParams,
    affinity=lambda params: params.reference,
    check=_check,
    reads=_reads,
    properties=(
        "e_above_hull_pred",
        "e_above_hull_self_pred",
        "hull_reference_pred",
        "hull_note_pred",
        "stable_probability_pred",
    ),
    reuse="never",
    summary="Energy above the convex hull from predicted formation energies",
    source="10.1021/cm702327g",
)
