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


def _check_charge(params: ChargeParams, folder: Path) -> Iterator[str]:
    if params.states not in STATE_SETS and not _found(params.states, folder):
        yield (
            f'states = "{params.states}" is neither a file nor one of the sets '
            f"{', '.join(STATE_SETS)}"
        )


def _check_geometry(params: GeometryParams, folder: Path) -> Iterator[str]:
    if params.max_density_g_cm3 <= params.min_density_g_cm3:
        yield "max_density_g_cm3 must be larger than min_density_g_cm3"


def _check_symmetry(params: SymmetryParams, folder: Path) -> Iterator[str]:
    if params.strict_symprec_ang > params.symprec_ang:
        yield "strict_symprec_ang must not be larger than symprec_ang"


def _check_novel(params: NovelParams, folder: Path) -> Iterator[str]:
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
