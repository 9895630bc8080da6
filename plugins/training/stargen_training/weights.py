"""A file of weights: an npz archive of arrays, and a header that says what they are."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stargen.errors import UserError
from stargen.files import write_atomically

FORMAT = 1
_HEADER = "stargen.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content is the same bytes, whenever it is written


class WeightsError(UserError):
    """A file that is not the weights it should be."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A network's arrays and what must be known to use them.

    Parameters
    ----------
    kind : which network they are of, "crysformer" say
    config : its configuration, plain values
    arrays : by name
    data : digest of the data that it learnt from
    notes : anything else worth keeping with them: scales, metrics, provenance
    """

    kind: str
    config: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    data: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])


def write_weights(path: Path, weights: Weights, *, half: bool = False) -> None:
    """Put weights into a file, whole or not at all.

    Parameters
    ----------
    half : arrays of floats are stored with 16 bits; reading gives float32 again
    """
    header = {
        "format": FORMAT,
        "kind": weights.kind,
        "config": dict(weights.config),
        "data": weights.data,
        "notes": dict(weights.notes),
        "arrays": sorted(weights.arrays),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(_HEADER, _EPOCH), json.dumps(header, indent=1))
        for name in sorted(weights.arrays):
            array = np.asarray(weights.arrays[name])
            if half and array.dtype.kind == "f":
                array = array.astype(np.float16)
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), content.getvalue())
    write_atomically(path, buffer.getbuffer())


def read_weights(path: Path, kind: str) -> Weights:
    """The weights of a file; every array is checked against its checksum.

    Raises
    ------
    WeightsError : if the file is missing, truncated, damaged, foreign, of another network, or of a
        form that this version does not read
    """
    try:
        with zipfile.ZipFile(path) as archive:
            header = _header(path, archive, kind)
            arrays = {name: _array(archive, name) for name in header["arrays"]}
    except FileNotFoundError:
        raise WeightsError("there is no such file", file=path) from None
    except IsADirectoryError:
        raise WeightsError("is a folder; name the file of weights in it", file=path) from None
    except KeyError as error:
        raise WeightsError(f"incomplete: {error.args[0]}", file=path) from error
    except (zipfile.BadZipFile, EOFError, ValueError, OSError) as error:
        raise WeightsError(
            f"no file of weights, or a truncated or damaged one: {error}", file=path
        ) from error
    return Weights(header["kind"], header["config"], arrays, header["data"], header["notes"])


def digest_of(path: Path) -> str:
    """Short name of a file's content."""
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()


def _header(path: Path, archive: zipfile.ZipFile, kind: str) -> dict[str, Any]:
    if _HEADER not in archive.namelist():
        raise WeightsError("an archive, but not one of Star-gen's weights", file=path)
    header = json.loads(archive.read(_HEADER))
    form = header.get("format")
    if form != FORMAT:
        raise WeightsError(
            f"written in form {form}, this version reads {FORMAT}",
            file=path,
            hint="upgrade stargen-training" if isinstance(form, int) and form > FORMAT else None,
        )
    if header["kind"] != kind:
        raise WeightsError(f"weights of {header['kind']}, not of {kind}", file=path)
    return header


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    content = io.BytesIO(archive.read(f"{name}.npy"))
    array = np.lib.format.read_array(content, allow_pickle=False)
    return array.astype(np.float32) if array.dtype == np.float16 else array
