"""POTCARs: where the user's pymatgen configuration says they lie. Nothing of theirs is shipped."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pymatgen.io.vasp.inputs import Potcar, PotcarSingle

_HEAD, _END = "TITEL", "End of Dataset"
"""What a POTCAR begins and ends with; an empty or half-copied one lacks the latter."""

_WHAT_TO_DO = (
    "point pymatgen to your licensed POTCARs: `pmg config -p VASP_FOLDER FOLDER`, then "
    "`pmg config --add PMG_VASP_PSP_DIR FOLDER`"
)


class _Choice(Protocol):
    @property
    def potcars(self) -> Mapping[str, str]: ...

    @property
    def potcar_functional(self) -> str: ...


def library_problem(functional: str) -> str | None:
    """Why no POTCAR of that release can be found; None if the library is there."""
    from pymatgen.io.vasp.inputs import POTCAR_FUNCTIONAL_MAP

    if functional not in POTCAR_FUNCTIONAL_MAP:
        known = ", ".join(POTCAR_FUNCTIONAL_MAP)
        return f"potcar_functional = {functional!r} is unknown to pymatgen; known are {known}"
    root = _root()
    if root is None:
        return f"no POTCARs: pymatgen's PMG_VASP_PSP_DIR is not set; {_WHAT_TO_DO}"
    if not root.is_dir():
        return f"no POTCARs: PMG_VASP_PSP_DIR names {root}, which is no folder; {_WHAT_TO_DO}"
    folders = _folders(root, functional)
    if not any(folder.is_dir() and any(folder.iterdir()) for folder in folders):
        return f"no POTCARs of {functional}: {folders[0]} is absent or empty; {_WHAT_TO_DO}"
    return None


def missing_problem(choice: _Choice, elements: Iterable[str]) -> str | None:
    """Which of these elements have no POTCAR, or a hollow one; None if all have one."""
    found = {element: problem_of(choice, element) for element in elements}
    told = [f"{element}: {problem}" for element, problem in found.items() if problem is not None]
    if not told:
        return None
    return (
        f"POTCARs of {choice.potcar_functional} are missing for {len(told)} elements "
        f"({'; '.join(told[:4])}{'; ...' if len(told) > 4 else ''}): add them to the library, name "
        "others under potcars = {...}, or exclude the elements in [campaign.chemistry]"
    )


def problem_of(choice: _Choice, element: str) -> str | None:
    """Why there is no usable POTCAR of one element."""
    symbol = symbol_for(choice, element)
    root = _root()
    path = None if root is None else find(root, symbol, choice.potcar_functional)
    if path is None:
        return f"no POTCAR.{symbol}"
    return _hollow(path, path.stat().st_mtime_ns)


def symbol_for(choice: _Choice, element: str) -> str:
    """The POTCAR's name: the campaign's choice, or the Materials Project's."""
    return choice.potcars.get(element) or _project_choice().get(element, element)


def build(choice: _Choice, elements: Sequence[str]) -> Potcar:
    """The POTCAR of a structure whose species come in this order.

    Raises
    ------
    ValueError : a POTCAR that cannot be read
    """
    from pymatgen.io.vasp.inputs import Potcar

    potcar = Potcar(functional=choice.potcar_functional)
    potcar.extend(
        _load(symbol_for(choice, element), choice.potcar_functional) for element in elements
    )
    return potcar


def find(root: Path, symbol: str, functional: str) -> Path | None:
    """The file of one POTCAR, in either of the layouts that pymatgen knows."""
    for folder in _folders(root, functional):
        for path in (
            folder / f"POTCAR.{symbol}.gz",
            folder / f"POTCAR.{symbol}",
            folder / symbol / "POTCAR.gz",
            folder / symbol / "POTCAR",
        ):
            if path.is_file():
                return path
    return None


@lru_cache(maxsize=1024)
def _hollow(path: Path, changed_ns: int) -> str | None:
    """Why a file holds no potential; it is read again when it has changed."""
    try:
        text = _text_of(path)
    except (OSError, EOFError) as error:
        return f"{path} cannot be read ({error})"
    if _HEAD in text and _END in text:
        return None
    return f"{path} is hollow: {len(text)} characters, and not both of {_HEAD} and {_END!r}"


def _text_of(path: Path) -> str:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return file.read().decode("utf-8", errors="replace")


@lru_cache(maxsize=256)
def _load(symbol: str, functional: str) -> PotcarSingle:
    from pymatgen.io.vasp.inputs import PotcarSingle

    root = _root()
    path = None if root is None else find(root, symbol, functional)
    if path is None:
        raise ValueError(f"no POTCAR.{symbol} of {functional}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen does not know every release
        try:
            return PotcarSingle(_text_of(path), symbol=symbol)
        except (OSError, EOFError, IndexError, KeyError, ValueError) as error:
            raise ValueError(f"{path} is no POTCAR: {error!r}") from error


def _root() -> Path | None:
    from pymatgen.core import SETTINGS

    named = SETTINGS.get("PMG_VASP_PSP_DIR")
    return Path(named) if named else None


def _folders(root: Path, functional: str) -> list[Path]:
    """Folders that may hold a release: the usual name, what `pmg` writes, the user's own."""
    from pymatgen.core import SETTINGS
    from pymatgen.io.vasp.inputs import POTCAR_FUNCTIONAL_MAP

    usual = POTCAR_FUNCTIONAL_MAP[functional]
    own = SETTINGS.get("PMG_VASP_PSP_SUB_DIRS") or {}
    names = [own.get(functional), usual, usual.replace("POT_PAW_", "POT_GGA_PAW_")]
    return [root / name for name in dict.fromkeys(names) if name]


@lru_cache(maxsize=1)
def _project_choice() -> dict[str, str]:
    from pymatgen.io.vasp.sets import MPScanRelaxSet

    return dict(MPScanRelaxSet.CONFIG["POTCAR"])
