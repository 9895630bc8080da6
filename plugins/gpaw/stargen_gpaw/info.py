"""What is known of the four steps before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal

from stargen_dft.properties import WRITTEN

from stargen.calculators.contract import CalculatorInfo
from stargen.crystal import Envelope
from stargen.model import Chemistry, Request, Resources
from stargen.typed import Bounds
from stargen_gpaw import elements, environment

Functional = Literal["PBE", "SCAN", "r2SCAN"]

_ARGV_NAMES = frozenset({"cores"})
_MEMORY_GIB = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GpawParams:
    """What the four steps have in common.

    Parameters
    ----------
    functional : PBE, SCAN or r2SCAN, self-consistent
    cutoff_ev : of the plane waves; None for 350, 500 or 800 by the elements, or for what the
        relaxation before came to
    kspacing : largest distance of k-points, 1/Å with the factor 2 pi; meshes hold Gamma
    smearing_ev : width of the Fermi-Dirac distribution
    spin : spin-polarised, from high-spin moments
    argv : the Python that has GPAW, and what starts it; its first word may be a name of the site
        file's `commands`, {cores} stands for what was granted; empty for the one of `make gpaw`
    standardize : turn the cell into the standard primitive one, for which paths between
        high-symmetry points are defined
    symprec_ang : tolerance for that
    strict : refuse corrections that change the physics (smearing)
    max_corrections : of one task, all its steps together
    silent_s : a run that writes nothing for so long is frozen
    """

    functional: Functional = "PBE"
    cutoff_ev: Annotated[float, Bounds(least=100, most=3000)] | None = None
    kspacing: Annotated[float, Bounds(above=0)] = 0.3
    smearing_ev: Annotated[float, Bounds(above=0)] = 0.05
    spin: bool = False
    argv: tuple[str, ...] = ()
    standardize: bool = True
    symprec_ang: Annotated[float, Bounds(above=0)] = 0.01
    strict: bool = False
    max_corrections: Annotated[int, Bounds(least=0)] = 6
    silent_s: Annotated[float, Bounds(above=0)] = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaxParams(GpawParams):
    """Parameters of `gpaw.relax`.

    Parameters
    ----------
    fmax : eV/Å, below which all forces must come, those on the cell (per atom) among them
    steps : ionic steps at most
    pulay_gpa : by how much the stress may change at a cut-off 30 % higher; the relaxation goes on
        there while it changes by more
    max_cutoff_ev : up to which it does
    unconverged : whether a crystal whose forces did not come down is dropped, or kept with
        converged = FALSE
    """

    fmax: Annotated[float, Bounds(above=0)] = 0.02
    steps: Annotated[int, Bounds(least=1)] = 100
    pulay_gpa: Annotated[float, Bounds(above=0)] = 0.5
    max_cutoff_ev: Annotated[float, Bounds(least=100)] = 1_400.0
    unconverged: Literal["drop", "keep"] = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticParams(GpawParams):
    """Parameters of `gpaw.static`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DosParams(GpawParams):
    """Parameters of `gpaw.dos`.

    Parameters
    ----------
    denser : by which factor its k-points lie closer than those of the static run
    window_ev : the density is kept this far below and above the Fermi energy
    step_ev : distance of its energies
    width_ev : standard deviation of the Gaussian that each level becomes
    """

    denser: Annotated[float, Bounds(least=1)] = 1.6
    window_ev: Annotated[float, Bounds(above=0)] = 15.0
    step_ev: Annotated[float, Bounds(above=0)] = 0.02
    width_ev: Annotated[float, Bounds(above=0)] = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class BandsParams(GpawParams):
    """Parameters of `gpaw.bands`.

    Parameters
    ----------
    line_density : k-points per 1/Å along the path
    """

    line_density: Annotated[int, Bounds(least=2)] = 10


def _resources(params: GpawParams, envelope: Envelope | None) -> Request:
    return (Resources(cores=1, memory_gib=_MEMORY_GIB),)


def _check(params: GpawParams, folder: Path) -> Iterator[str]:
    for text in params.argv:
        for name in {name for _, name, _, _ in Formatter().parse(text) if name} - _ARGV_NAMES:
            yield f"{text!r}: {{{name}}} is unknown; known is {', '.join(sorted(_ARGV_NAMES))}"
    if not params.argv and (problem := environment.problem()) is not None:
        yield problem


def _check_chemistry(params: GpawParams, chemistry: Chemistry) -> Iterator[str]:
    named = dict.fromkeys((*chemistry.require, *chemistry.allow))
    missing = [e for e in named if chemistry.admits(e) and not elements.has_potential(e)]
    if missing:
        yield (
            f"GPAW has no PAW data sets for {', '.join(missing)}: exclude them in "
            "[campaign.chemistry]"
        )


def _step(verb: str, params: type[GpawParams], summary: str) -> CalculatorInfo:
    return CalculatorInfo(
        name=f"gpaw.{verb}",
        api=1,
        factory=f"stargen_gpaw.steps:{verb.capitalize()}",
        program=True,
        params=params,
        resources=_resources,
        grain=1,
        check=_check,
        check_chemistry=_check_chemistry,
        properties=WRITTEN[verb],
        checkpoint="files",
        summary=summary,
        source="10.1063/5.0182685",
    )


relax = _step("relax", RelaxParams, "relaxation of atoms and cell with GPAW (C1)")
static = _step("static", StaticParams, "energy and charge density with GPAW (C2)")
dos = _step("dos", DosParams, "density of states with GPAW (C3)")
bands = _step("bands", BandsParams, "band structure with GPAW (C4)")
