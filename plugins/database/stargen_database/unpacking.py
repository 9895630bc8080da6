"""All that is kept of one material, as files: its structure, and its bulk results."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from stargen_database.exports import Pair, cif_block

_NPZ = "_npz"
_ZSTD = b"\x28\xb5\x2f\xfd"


def unpack(pair: Pair, folder: Path) -> list[str]:
    """Write everything below `folder`; returns the names of the files.

    Arrays become .npy and .npz, tables .json, packed files (those that a step was asked to keep) a
    folder named after their step.
    """
    found, candidate = pair
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "structure.cif").write_text(cif_block(found, candidate), "utf-8")
    _write_json(folder / "properties.json", found.plain())
    for name, value in candidate.data.items():
        _write(folder / name, value)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _write(path: Path, value: Any) -> None:
    match value:
        case bytes() if path.name.endswith(_NPZ):
            path.with_name(f"{path.name.removesuffix(_NPZ)}.npz").write_bytes(value)
        case bytes() if value.startswith(_ZSTD):
            _extract(value, path.parent / path.name)
        case bytes():
            path.write_bytes(value)
        case np.ndarray():
            np.save(path.with_name(f"{path.name}.npy"), value)
        case Mapping():
            packed = {key: part for key, part in value.items() if isinstance(part, bytes)}
            plain = {key: part for key, part in value.items() if key not in packed}
            _write_json(path.with_name(f"{path.name}.json"), plain)
            for key, part in packed.items():
                path.mkdir(exist_ok=True)
                _write(path / key, part)
        case _:
            _write_json(path.with_name(f"{path.name}.json"), value)


def _extract(packed: bytes, folder: Path) -> None:
    """A tar within zstd, without trusting the names in it."""
    folder.mkdir(exist_ok=True)
    with (
        zstandard.ZstdDecompressor().stream_reader(packed) as frame,
        tarfile.open(fileobj=frame, mode="r|") as tar,
    ):
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                (folder / Path(member.name).name).write_bytes(file.read())


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=1, default=_plain, ensure_ascii=False)
    path.write_text(f"{text}\n", "utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
