"""msgpack with the options and types that the whole project shares.

numpy is loaded only where arrays are met: an agent, which packs plain values, does without it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import msgpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DTYPE = re.compile(r"[<>|][biufcSUmM][0-9]+(\[[0-9a-zA-Z]+\])?")
_ARRAY = 1
"""Our msgpack extension type: (dtype, shape, bytes in C order)."""


def pack(value: object) -> bytes:
    """Plain values (None, bool, int, float, str, bytes, lists, dicts) as msgpack."""
    return cast("bytes", msgpack.packb(value))


def unpack(data: bytes | memoryview) -> Any:
    """The inverse of `pack`; sequences come back as lists."""
    return cast("Any", msgpack.unpackb(data, strict_map_key=False))


def pack_bulk(value: object) -> bytes:
    """As `pack`, and numpy arrays and numbers as well.

    Raises
    ------
    TypeError : for anything else
    """
    return cast("bytes", msgpack.packb(value, default=_array_to_extension))


def unpack_bulk(data: bytes | memoryview) -> Any:
    """The inverse of `pack_bulk`; arrays come back read-only."""
    return cast("Any", msgpack.unpackb(data, strict_map_key=False, ext_hook=_extension_to_array))


def _array_to_extension(value: object) -> Any:
    import numpy as np

    if isinstance(value, np.generic):
        return cast("object", value.item())
    if isinstance(value, np.ndarray):
        array = cast("NDArray[Any]", value)
        if array.dtype.hasobject or array.dtype.names is not None:
            raise TypeError(f"an array of {array.dtype} cannot be written")
        return msgpack.ExtType(_ARRAY, pack((array.dtype.str, array.shape, array.tobytes())))
    raise TypeError(f"a {type(value).__name__} cannot be written")


def _extension_to_array(code: int, data: bytes) -> Any:
    if code != _ARRAY:
        raise ValueError(f"msgpack extension {code} is unknown")
    import numpy as np

    dtype, shape, content = unpack(data)
    if not _DTYPE.fullmatch(dtype):  # numpy would evaluate some strings as Python
        raise ValueError(f"{dtype!r} is no data type")
    return np.frombuffer(content, dtype=dtype).reshape(shape)
