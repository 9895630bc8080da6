"""What is known of the four steps before pymatgen is imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal

from stargen_dft.properties import WRITTEN

from stargen.calculators.contract import CalculatorInfo
from stargen.crystal import Envelope
from stargen.elements import SYMBOLS
from stargen.model import Chemistry, Request, Resources
from stargen.typed import Bounds

Preset = Literal["paper", "paper-safe", "pbe"]

CORE_BUCKETS = (1, 2, 4, 8, 12, 16, 24, 48, 72, 96, 144)
"""The paper gives a calculation between 1 and 144 cores by its number of atoms."""

_ARGV_NAMES = frozenset({"cores", "gpus"})
_MEMORY_GIB_PER_CORE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VaspParams:
    """What the four steps have in common.

    Parameters
    ----------
    preset : paper (SCAN, 500 eV, k-points 2 pi x 0.04 / Å apart, as printed), paper-safe (the same
        with tighter electronic convergence, aspherical terms and fitting mixing), pbe
    incar : INCAR tags that override the preset; lists as text, "1 1 0"
    kspacing : largest distance of k-points, 1/Å with the factor 2 pi; None for the preset's
    potcars : {element: name of its POTCAR} where it shall not be the Materials Project's choice
    potcar_functional : pymatgen's name of the POTCAR release
    argv : the program; its first word may be a name of the site file's `commands`, {cores} and
        {gpus} stand for what was granted
    standardize : turn the cell into the standard primitive one, for which paths between
        high-symmetry points are defined
    symprec_ang : tolerance for that
    strict : refuse corrections that change the physics (smearing, k-points, projection, precision)
    max_corrections : of one task, all its steps together
    cores_per_atom : rule for the cores of a task, rounded up to 1, 2, 4, 8, 12, 16, 24, 48, 72, 96
        or 144; a job's own `resources` override it
    max_cores : of one task
    keep : files of this step that are kept with the result, packed ("OUTCAR", "vasprun.xml"); all
        others go with the scratch folder
    silent_s : a run that writes nothing for so long is frozen
    start_s : a run that has written nothing after so long never started
    """

    preset: Preset = "paper-safe"
    incar: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    kspacing: Annotated[float, Bounds(above=0)] | None = None
    potcars: Mapping[str, str] = field(default_factory=dict)
    potcar_functional: str = "PBE_54"
    argv: tuple[str, ...] = ("vasp",)
    standardize: bool = True
    symprec_ang: Annotated[float, Bounds(above=0)] = 0.01
    strict: bool = False
    max_corrections: Annotated[int, Bounds(least=0)] = 8
    cores_per_atom: Annotated[float, Bounds(above=0)] = 1.0
    max_cores: Annotated[int, Bounds(least=1)] = 144
    keep: tuple[str, ...] = ()
    silent_s: Annotated[float, Bounds(above=0)] = 21_600.0
    start_s: Annotated[float, Bounds(above=0)] = 1_800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaxParams(VaspParams):
    """Parameters of `vasp.relax`.

    Parameters
    ----------
    unconverged : whether a crystal whose forces did not come down is dropped, or kept with
        converged = FALSE
    continuations : how often a relaxation that ran out of steps goes on where it stopped
    """

    unconverged: Literal["drop", "keep"] = "drop"
    continuations: Annotated[int, Bounds(least=0)] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticParams(VaspParams):
    """Parameters of `vasp.static`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DosParams(VaspParams):
    """Parameters of `vasp.dos`.

    Parameters
    ----------
    denser : by which factor its k-points lie closer than those of the static run
    window_ev : the density is kept this far below and above the Fermi energy
    step_ev : distance of its energies
    """

    denser: Annotated[float, Bounds(least=1)] = 1.6
    window_ev: Annotated[float, Bounds(above=0)] = 15.0
    step_ev: Annotated[float, Bounds(above=0)] = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class BandsParams(VaspParams):
    """Parameters of `vasp.bands`.

    Parameters
    ----------
    line_density : k-points per 1/Å along the path
    """

    line_density: Annotated[int, Bounds(least=2)] = 20


def cores_for(params: VaspParams, n_atoms: int) -> int:
    """The bucket for a crystal of so many atoms."""
    wanted = min(params.cores_per_atom * n_atoms, params.max_cores)
    fitting = [cores for cores in CORE_BUCKETS if cores >= wanted]
    return min(fitting[0] if fitting else CORE_BUCKETS[-1], params.max_cores)


def _resources(params: VaspParams, envelope: Envelope | None) -> Request:
    cores = 1 if envelope is None else cores_for(params, envelope.n_atoms)
    return (Resources(cores=cores, memory_gib=_MEMORY_GIB_PER_CORE * cores),)


def _check(params: VaspParams, folder: Path) -> Iterator[str]:
    from stargen_vasp.potcars import library_problem, missing_problem

    if not params.argv:
        yield 'argv is empty: write argv = ["vasp"] and name it in the site file\'s commands'
    for text in params.argv:
        for name in _fields(text) - _ARGV_NAMES:
            yield f"{text!r}: {{{name}}} is unknown; known are {', '.join(sorted(_ARGV_NAMES))}"
    yield from _incar_problems({name.upper() for name in params.incar})
    for name in params.keep:
        if Path(name).name != name or name == "POTCAR":
            yield f"keep: {name!r} is no file of the run that may be kept"
    problem = library_problem(params.potcar_functional)
    if problem is None:
        problem = missing_problem(params, [e for e in params.potcars if e in SYMBOLS])
    if problem is not None:
        yield problem


def _incar_problems(names: set[str]) -> Iterator[str]:
    from stargen_vasp.presets import likely_meant

    if "ICHARG" in names:
        yield "ICHARG is chosen by what the step before left; leave it out of incar"
    if "KSPACING" in names:
        yield "k-points are written out: say kspacing = ... beside incar, not KSPACING in it"
    for name in sorted(names):
        meant = likely_meant(name)
        if meant is not None:
            yield f"{name} is no INCAR tag that pymatgen knows; did you mean {meant}?"


def _check_chemistry(params: VaspParams, chemistry: Chemistry) -> Iterator[str]:
    from stargen_vasp.potcars import library_problem, missing_problem

    named = dict.fromkeys((*chemistry.require, *chemistry.allow))
    if library_problem(params.potcar_functional) is None:
        problem = missing_problem(params, [e for e in named if chemistry.admits(e)])
        if problem is not None:
            yield problem


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def _step(verb: str, params: type[VaspParams], summary: str) -> CalculatorInfo:
    return CalculatorInfo(
        name=f"vasp.{verb}",
        api=1,
        factory=f"stargen_vasp.steps:{verb.capitalize()}",
        program=True,
        params=params,
        resources=_resources,
        by_envelope=True,
        grain=1,
        check=_check,
        check_chemistry=_check_chemistry,
        properties=WRITTEN[verb],
        checkpoint="files",
        summary=summary,
        source="10.1103/PhysRevB.54.11169",
    )


relax = _step("relax", RelaxParams, "relaxation of atoms and cell with VASP (C1)")
static = _step("static", StaticParams, "energy and charge density with VASP (C2)")
dos = _step("dos", DosParams, "density of states with VASP (C3)")
bands = _step("bands", BandsParams, "band structure with VASP (C4)")
