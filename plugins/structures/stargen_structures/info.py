"""What the calculators are: everything that must be known before a heavy import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stargen.calculators.contract import API_VERSION, CalculatorInfo
from stargen.model import Shape
from stargen_structures.files import structure_files
from stargen_structures.params import ReadParams, SubstituteParams, WriteParams
from stargen_structures.prototypes import load_prototypes, select_prototypes
from stargen_structures.species import load_species
from stargen_structures.substitutions import ionic_prototypes


def _check_read(params: ReadParams, folder: Path) -> Iterator[str]:
    try:
        structure_files(folder / Path(params.path).expanduser())
    except ValueError as error:
        yield str(error)


def _check_substitute(params: SubstituteParams, folder: Path) -> Iterator[str]:
    try:
        chosen = select_prototypes(load_prototypes(), params.prototypes, params.max_atoms)
        ionic = next(ionic_prototypes(chosen, load_species()), None)
    except (ValueError, OSError) as error:
        yield str(error)
    else:
        if ionic is None:
            yield "prototypes: no choice of oxidation states balances any of these"


def _check_write(params: WriteParams, folder: Path) -> Iterator[str]:
    target = folder / Path(params.folder).expanduser()
    if target.exists() and not target.is_dir():
        yield f"folder = {params.folder!r} is a file"


read = CalculatorInfo(
    name="structures.read",
    api=API_VERSION,
    factory="stargen_structures.read:Read",
    shape=Shape.SOURCE,
    params=ReadParams,
    kind="io",
    check=_check_read,
    properties=("*",),
    reuse="never",
    summary="Read CIF, POSCAR, extended XYZ, pymatgen JSON, or CSV with a cif column",
)

substitute = CalculatorInfo(
    name="structures.substitute",
    api=API_VERSION,
    factory="stargen_structures.substitute:Substitute",
    shape=Shape.SOURCE,
    params=SubstituteParams,
    total=lambda params: params.count,
    check=_check_substitute,
    properties=("prototype", "substitution", "substitution_probability"),
    reuse="seeded",
    summary="Put other ions into known crystal structures, the likelier the sooner",
    source="10.1021/ic102031h",
)

write = CalculatorInfo(
    name="structures.write",
    api=API_VERSION,
    factory="stargen_structures.write:Write",
    params=WriteParams,
    kind="io",
    check=_check_write,
    reuse="never",
    summary="Write each candidate to a CIF, POSCAR, extended XYZ or JSON file and pass it on",
)
