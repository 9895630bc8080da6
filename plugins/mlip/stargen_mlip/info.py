"""What is known of `mlip.relax` and `mlip.static` before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from stargen.calculators.contract import CalculatorInfo
from stargen.crystal import Envelope
from stargen.model import Request, Resources
from stargen.typed import Bounds

Model = Literal["0.3.0", "r2scan"]

SCHEMES: dict[str, str] = {"0.3.0": "chgnet-0.3.0/mp2020", "r2scan": "chgnet-r2scan/mp-r2scan"}
"""Method and scale of each network's energies.

0.3.0 learnt total energies of the Materials Project as corrected by
MaterialsProject2020Compatibility, so its formation energies are counted from the Project's
elemental references; r2scan was carried over to the Project's r2SCAN energies.
"""


@dataclass(frozen=True, slots=True)
class RelaxParams:
    """Parameters of `mlip.relax`.

    Parameters
    ----------
    model : pretrained CHGNet
    fmax : converged below this largest force, eV/Å, on atoms and cell
    steps : at most so many
    optimizer : bfgs takes fewer steps; fire remembers less, which tells with hundreds of atoms
    cell : whether the cell moves too
    unconverged : whether crystals that ran out of steps are dropped or kept (converged = FALSE)
    max_volume_ratio : beyond this growth, or shrinking, the crystal has exploded
    checkpoint_every : steps between checkpoints
    """

    model: Model = "0.3.0"
    fmax: Annotated[float, Bounds(above=0)] = 0.05
    steps: Annotated[int, Bounds(least=0)] = 500
    optimizer: Literal["bfgs", "fire"] = "bfgs"
    cell: bool = True
    unconverged: Literal["drop", "keep"] = "drop"
    max_volume_ratio: Annotated[float, Bounds(above=1)] = 3.0
    checkpoint_every: Annotated[int, Bounds(least=1)] = 50


@dataclass(frozen=True, slots=True)
class StaticParams:
    """Parameters of `mlip.static`.

    Parameters
    ----------
    model : pretrained CHGNet
    """

    model: Model = "0.3.0"


def _resources(params: RelaxParams | StaticParams, envelope: Envelope | None) -> Request:
    return (Resources(cores=1, memory_gib=1.0),)


def _affinity(params: RelaxParams | StaticParams) -> str:
    return f"chgnet-{params.model}"


relax = CalculatorInfo(
    name="mlip.relax",
    api=1,
    factory="stargen_mlip.calculator:Relax",
    params=RelaxParams,
    resources=_resources,
    affinity=_affinity,
    grain=1,
    checkpoint="state",
    properties=(
        "energy_per_atom",
        "energy_scheme",
        "max_force",
        "volume_per_atom",
        "volume_ratio",
        "relax_steps",
        "converged",
    ),
    summary="Relaxation of atoms and cell with CHGNet",
    source="10.1038/s42256-023-00716-3",
)

static = CalculatorInfo(
    name="mlip.static",
    api=1,
    factory="stargen_mlip.calculator:Static",
    params=StaticParams,
    resources=_resources,
    affinity=_affinity,
    properties=("energy_per_atom", "energy_scheme", "max_force", "volume_per_atom"),
    summary="Energy, forces and stress with CHGNet",
    source="10.1038/s42256-023-00716-3",
)
