"""What the filters are: everything that must be known before a heavy import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from stargen.calculators.contract import API_VERSION, CalculatorInfo
from stargen.crystal import Envelope
from stargen.model import Shape
from stargen_filters.params import (
    REFERENCE_FORMATS,
    STATE_SETS,
    ChargeParams,
    CompositionParams,
    GeometryParams,
    NovelParams,
    SymmetryParams,
    UniqueParams,
)


def _check_composition(params: CompositionParams, folder: Path) -> Iterator[str]:
    if params.max_elements < 1:
        yield f"max_elements is {params.max_elements}; it must be at least 1"


def _check_charge(params: ChargeParams, folder: Path) -> Iterator[str]:
    if params.states not in STATE_SETS and not _found(params.states, folder):
        yield (
            f'states = "{params.states}" is neither a file nor one of the sets '
            f"{', '.join(STATE_SETS)}"
        )


def _check_geometry(params: GeometryParams, folder: Path) -> Iterator[str]:
    if params.min_distance_ang < 0 or params.min_volume_ang3 < 0 or params.min_density_g_cm3 < 0:
        yield "min_distance_ang, min_volume_ang3 and min_density_g_cm3 must not be negative"
    if params.max_density_g_cm3 <= params.min_density_g_cm3:
        yield "max_density_g_cm3 must be larger than min_density_g_cm3"


def _check_symmetry(params: SymmetryParams, folder: Path) -> Iterator[str]:
    if not 0 < params.strict_symprec_ang <= params.symprec_ang:
        yield "symprec_ang and strict_symprec_ang must be positive, the strict one not the larger"


def _check_unique(params: UniqueParams, folder: Path) -> Iterator[str]:
    if params.threshold < 0:
        yield f"threshold is {params.threshold}; it must not be negative"
    if params.neighbours < 1:
        yield f"neighbours is {params.neighbours}; it must be at least 1"
    if min(params.ltol, params.stol, params.angle_tol_deg, params.symprec_ang) <= 0:
        yield "ltol, stol, angle_tol_deg and symprec_ang must be positive"


def _check_novel(params: NovelParams, folder: Path) -> Iterator[str]:
    yield from _check_unique(params, folder)
    if not params.reference.lower().endswith(REFERENCE_FORMATS):
        yield f"reference {params.reference} is none of {', '.join(REFERENCE_FORMATS)}"
    elif not _found(params.reference, folder):
        yield f"reference {params.reference} does not exist"


def _found(path: str, folder: Path) -> bool:
    return (folder / Path(path).expanduser()).is_file()


def _state_file(params: ChargeParams) -> tuple[str, ...]:
    return () if params.states in STATE_SETS else (params.states,)


def _by_formula(params: UniqueParams) -> Callable[[Envelope], str]:
    return lambda envelope: envelope.formula


composition = CalculatorInfo(
    name="filters.composition",
    api=API_VERSION,
    factory="stargen_filters.composition:Composition",
    params=CompositionParams,
    check=_check_composition,
    summary="Drop candidates with too many elements or outside of the campaign's chemistry",
)

charge = CalculatorInfo(
    name="filters.charge",
    api=API_VERSION,
    factory="stargen_filters.charge:Charge",
    params=ChargeParams,
    check=_check_charge,
    properties=("charge_verdict", "charge_rules"),
    reads=_state_file,
    summary="Drop compositions that no set of oxidation states makes neutral",
    source="10.21105/joss.01361",
)

geometry = CalculatorInfo(
    name="filters.geometry",
    api=API_VERSION,
    factory="stargen_filters.geometry:Geometry",
    params=GeometryParams,
    check=_check_geometry,
    properties=("min_distance", "volume_per_atom", "density"),
    summary="Drop crystals with atoms too close, no volume, or an absurd density",
    source="arXiv:2110.06197",
)

symmetry = CalculatorInfo(
    name="filters.symmetry",
    api=API_VERSION,
    factory="stargen_filters.symmetry:Symmetry",
    params=SymmetryParams,
    check=_check_symmetry,
    properties=("spacegroup", "spacegroup_strict"),
    summary="Find the space group at two tolerances; drop P1",
    source="arXiv:1808.01590",
)

unique = CalculatorInfo(
    name="filters.unique",
    api=API_VERSION,
    factory="stargen_filters.unique:Unique",
    shape=Shape.KEYED,
    params=UniqueParams,
    key=_by_formula,
    check=_check_unique,
    reuse="never",
    summary="Keep the first of each set of like crystals of one reduced formula",
    source="arXiv:2009.02488",
)

novel = CalculatorInfo(
    name="filters.novel",
    api=API_VERSION,
    factory="stargen_filters.novel:Novel",
    shape=Shape.KEYED,
    params=NovelParams,
    key=_by_formula,
    affinity=lambda params: params.reference,
    check=_check_novel,
    properties=("novel_against",),
    reads=lambda params: (params.reference,),
    reuse="never",
    summary="Drop crystals that a reference file knows",
    source="arXiv:2009.02488",
)
