"""Labelled crystals: read from files, split by composition, kept as graphs."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stargen import Crystal
from stargen.elements import reduced_formula
from stargen.errors import UserError
from stargen.files import make_folder, write_atomically
from stargen_crysformer.graphs import Graphs

SPLITS = ("train", "val", "test")
_TRAIN_PERCENT, _VAL_PERCENT = 80, 90


@dataclass(frozen=True, slots=True)
class Labelled:
    """Crystals with labels.

    Parameters
    ----------
    names : of the crystals
    crystals : in the same order
    labels : (n, targets) float64, NaN where unknown
    splits : (n,) indices into `SPLITS`
    corrections : that the energies carry, ``mp2020`` say; None if nobody said
    """

    names: list[str]
    crystals: list[Crystal]
    labels: NDArray[np.float64]
    splits: NDArray[np.int64]
    corrections: str | None = None

    def __len__(self) -> int:
        return len(self.crystals)

    def of_split(self, split: str) -> NDArray[np.int64]:
        """Rows of a split."""
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def digest(self) -> str:
        """Names this content."""
        digest = hashlib.blake2b(digest_size=8)
        for crystal in self.crystals:
            digest.update(crystal.content_hash())
        digest.update(self.labels.astype("<f8").tobytes() + self.splits.tobytes())
        return digest.hexdigest()


def joined(one: Labelled, other: Labelled) -> Labelled:
    """The crystals of both.

    Raises
    ------
    UserError : if their energies carry different corrections
    """
    corrections = one.corrections or other.corrections
    if other.corrections not in (None, corrections):
        raise UserError(
            f"energies with corrections {one.corrections} and {other.corrections} "
            "cannot be learnt together"
        )
    return Labelled(
        one.names + other.names,
        one.crystals + other.crystals,
        np.concatenate([one.labels, other.labels]),
        np.concatenate([one.splits, other.splits]),
        corrections,
    )


def split_of(formula: str) -> int:
    """The split of a composition: by its hash, so that no composition is in two of them."""
    percent = int(hashlib.md5(formula.encode(), usedforsecurity=False).hexdigest(), 16) % 100
    return (percent >= _TRAIN_PERCENT) + (percent >= _VAL_PERCENT)


def read(paths: Sequence[Path], targets: Sequence[str], corrections: str | None = None) -> Labelled:
    """The crystals of files with at least one of the labels; the first of a name counts.

    Raises
    ------
    UserError : naming the file and what it lacks
    """
    found: dict[str, tuple[Crystal, NDArray[np.float64], int]] = {}
    for path in paths:
        before = len(found)
        for name, crystal, labels, split in _rows(path, targets):
            if np.isfinite(labels).any():
                found.setdefault(name, (crystal, labels, split))
        if len(found) == before and not before:
            raise UserError(f"no crystal with a label {' or '.join(targets)}", file=path)
    return Labelled(
        list(found),
        [row[0] for row in found.values()],
        np.array([row[1] for row in found.values()]),
        np.array([row[2] for row in found.values()]),
        corrections,
    )


_Row = tuple[str, Crystal, NDArray[np.float64], int]


def _rows(path: Path, targets: Sequence[str]) -> Iterable[_Row]:
    if not path.is_file():
        raise UserError("there is no such file", file=path)
    if path.suffix == ".npz":
        return _arrays(path, targets)
    if path.suffixes[-2:] == [".csv", ".gz"] or path.suffix == ".csv":
        return _table(path, targets)
    raise UserError("neither .npz nor .csv nor .csv.gz", file=path)


def _arrays(path: Path, targets: Sequence[str]) -> Iterable[_Row]:
    """Crystals as arrays: offset, atomic_numbers, frac_coords, cell, and one array a label."""
    try:
        with np.load(path) as file:
            data = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"cannot be read: {error}", file=path) from error
    lack = [n for n in ("offset", "atomic_numbers", "frac_coords", "cell") if n not in data]
    lack += [target for target in targets if target not in data]
    if lack:
        raise UserError(f"has no array {' or '.join(lack)}", file=path, hint=f"it has {[*data]}")
    labels = np.stack([data[target].astype(np.float64) for target in targets], axis=1)
    names = data.get("material_id", np.arange(len(labels))).tolist()
    lattices = lattices_of(data["cell"].astype(np.float64))
    for i, (name, lattice) in enumerate(zip(names, lattices, strict=True)):
        span = slice(*data["offset"][i : i + 2])
        numbers = data["atomic_numbers"][span].astype(np.uint8)
        crystal = Crystal.of(lattice, data["frac_coords"][span], numbers)
        split = (
            data["split"][i] if "split" in data else split_of(reduced_formula(numbers.tobytes()))
        )
        yield str(name), crystal, labels[i], int(split)


def _table(path: Path, targets: Sequence[str]) -> Iterable[_Row]:
    """A table with a column `cif`; crystals once read are kept in the cache."""
    import pandas as pd

    try:
        table = pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise UserError(f"cannot be read: {error}", file=path) from error
    lack = [name for name in ("cif", *targets) if name not in table]
    if lack:
        raise UserError(
            f"has no column {' or '.join(lack)}", file=path, hint=f"it has {[*table.columns]}"
        )
    crystals = _cached_crystals(path, table["cif"])
    labels = table[list(targets)].to_numpy(np.float64)
    column = next((n for n in ("material_id", "row_id") if n in table), None)
    names = table.index if column is None else table[column]
    for i, (name, crystal) in enumerate(zip(names, crystals, strict=True)):
        split = SPLITS.index(table["split"][i]) if "split" in table else split_of(crystal.formula)
        yield f"{path.stem}/{name}" if column is None else str(name), crystal, labels[i], split


def _cached_crystals(path: Path, cifs: Iterable[str]) -> list[Crystal]:
    digest = hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
    cache = cache_folder() / f"crystals-{digest}.npz"
    if cache.is_file():
        with np.load(cache) as kept:
            cells, frac, numbers, atoms = (kept[n] for n in ("cells", "frac", "numbers", "atoms"))
        ends = np.cumsum(atoms)
        spans = zip(cells, ends - atoms, ends, strict=True)
        return [Crystal.of(cell, frac[a:b], numbers[a:b]) for cell, a, b in spans]
    crystals = [_from_cif(path, row, cif) for row, cif in enumerate(cifs, 2)]
    _keep(
        cache,
        cells=np.stack([c.lattice for c in crystals]),
        frac=np.concatenate([c.frac_coords for c in crystals]),
        numbers=np.concatenate([c.numbers for c in crystals]),
        atoms=np.array([c.n_atoms for c in crystals]),
    )
    return crystals


def _from_cif(path: Path, row: int, text: Any) -> Crystal:
    from pymatgen.core import Structure

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rounding, one for each row
        try:
            return Crystal.from_pymatgen(Structure.from_str(text, fmt="cif"))
        except Exception as error:  # pymatgen raises many kinds
            raise UserError(f"its cif cannot be read: {error}", file=path, line=row) from error


def cache_folder() -> Path:
    """Where read crystals and graphs are kept between trainings."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "stargen" / "crysformer"
    make_folder(folder)
    return folder


def graphs_of(crystals: Sequence[Crystal], neighbours: int, digest: str) -> Graphs:
    """Their graphs, from the cache if they are there."""
    cache = cache_folder() / f"graphs-{digest}-{neighbours}.npz"
    if cache.is_file():
        with np.load(cache) as kept:
            return Graphs(**{name: kept[name] for name in Graphs.__slots__})
    graphs = Graphs.of(crystals, neighbours)
    _keep(cache, **{name: getattr(graphs, name) for name in Graphs.__slots__})
    return graphs


def _keep(path: Path, **arrays: NDArray[Any]) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_atomically(path, content.getbuffer())


def lattices_of(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 6) a, b, c in Å and angles in degrees -> (n, 3, 3), a along x and b in the xy plane."""
    lengths = cells[:, :3]
    cos_a, cos_b, cos_c = np.cos(np.radians(cells[:, 3:])).T
    sin_c = np.sqrt(1 - cos_c**2)
    y = (cos_a - cos_b * cos_c) / sin_c
    z = np.sqrt(np.maximum(1 - cos_b**2 - y**2, 0.0))
    lattices = np.zeros((len(cells), 3, 3))
    lattices[:, 0, 0] = 1.0
    lattices[:, 1, 0], lattices[:, 1, 1] = cos_c, sin_c
    lattices[:, 2] = np.stack([cos_b, y, z], axis=1)
    return lattices * lengths[:, :, None]
