"""Which files hold structures, told by name; cheap, for the check before the start."""

from __future__ import annotations

import gzip
from glob import glob
from pathlib import Path
from typing import IO, cast

_BY_SUFFIX = {
    ".cif": "cif",
    ".poscar": "poscar",
    ".vasp": "poscar",
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".json": "json",
    ".jsonl": "jsonl",
    ".csv": "csv",
}
_VASP_NAMES = ("POSCAR", "CONTCAR")


def format_of(path: Path) -> str | None:
    """The format that a file's name announces, gzipped or not; None if it is no structure file."""
    name = path.name.removesuffix(".gz")
    if name.startswith(_VASP_NAMES):
        return "poscar"
    return _BY_SUFFIX.get(Path(name).suffix.lower())


def structure_files(target: Path) -> list[Path]:
    """The structure files that a path names, in an order that depends on their names alone.

    Parameters
    ----------
    target : a file, a folder (with all below it), or a pattern of `glob` in which ``**`` is any
        number of folders

    Raises
    ------
    ValueError : if there are none
    """
    if target.is_file():
        found = [target]
    elif target.is_dir():
        found = [path for path in target.rglob("*") if path.is_file()]
    else:
        # Path.glob refuses absolute patterns
        found = [Path(name) for name in glob(str(target), recursive=True)]  # noqa: PTH207
    known = sorted((p for p in found if p.is_file() and format_of(p)), key=Path.as_posix)
    if not known:
        kinds = ", ".join([*_BY_SUFFIX, *_VASP_NAMES])
        what = "is no structure file" if found else "names no file"
        raise ValueError(f"{target} {what}; known are {kinds}, each also with .gz")
    return known


def open_text(path: Path) -> IO[str]:
    """UTF-8 text, gzipped or not; bytes that are not UTF-8 are replaced."""
    if path.suffix.lower() == ".gz":
        zipped = gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="")  # noqa: SIM115
        return cast("IO[str]", zipped)  # the caller closes it
    return path.open(encoding="utf-8", errors="replace", newline="")
