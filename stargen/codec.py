"""msgpack with the options and types that the whole project shares."""

from __future__ import annotations

from typing import Any, cast

import msgpack
import numpy as np
from numpy.typing import NDArray


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
    return cast("bytes", msgpack.packb(value, default=_array_to_table))


def unpack_bulk(data: bytes | memoryview) -> Any:
    """The inverse of `pack_bulk`."""
    return cast("Any", msgpack.unpackb(data, strict_map_key=False, object_hook=_table_to_array))


def _array_to_table(value: object) -> Any:
    if isinstance(value, np.generic):
        return cast("object", value.item())
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(cast("NDArray[Any]", value))
        if array.dtype.hasobject:
            raise TypeError("an array of Python objects cannot be written")
        return {"__array__": array.dtype.str, "shape": list(array.shape), "bytes": array.tobytes()}
    raise TypeError(f"a {type(value).__name__} cannot be written")


def _table_to_array(table: dict[Any, Any]) -> Any:
    if "__array__" not in table:
        return table
    array = np.frombuffer(table["bytes"], dtype=np.dtype(str(table["__array__"])))
    return array.reshape(table["shape"])
