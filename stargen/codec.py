"""msgpack with the options and types that the whole project shares.

numpy is loaded only where arrays are met: an agent, which packs plain values, does without it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import msgpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DTYPE = re.compile(r"[<>|][biufcSUmM][0-9]+(\[[0-9a-zA-Z]+\])?")
_ARRAY = 1
"""Our msgpack extension type: (dtype, shape, bytes in C order)."""


_PACKERS: list[Any] = []  # of msgpack.Packer
"""Those that nobody uses: to make one and its buffer takes as long as to pack a small value."""


def pack(value: object) -> bytes:
    """Plain values (None, bool, int, float, str, bytes, lists, dicts) as msgpack."""
    try:
        packer: Any = _PACKERS.pop()  # atomic, so that threads never share one
    except IndexError:
        packer = cast("Any", msgpack.Packer())
    try:
        return cast("bytes", packer.pack(value))
    finally:
        _PACKERS.append(packer)


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


def pack_list_head(items: int) -> bytes:
    """What stands before the items of a list."""
    if items < 16:
        return bytes((0x90 | items,))
    return cast("bytes", msgpack.Packer(buf_size=16).pack_array_header(items))


def list_head(data: bytes) -> tuple[int, int]:
    """Of a packed list: how many items it has, and how many bytes lie before the first.

    Raises
    ------
    ValueError : if it is none
    """
    kind = data[0] if data else 0
    if kind & 0xF0 == 0x90:
        return kind & 0x0F, 1
    wide = {0xDC: 2, 0xDD: 4}.get(kind)
    if wide is None:
        raise ValueError("not a list")
    return int.from_bytes(data[1 : 1 + wide], "big"), 1 + wide


def pack_first(values: Sequence[object], last: bytes) -> bytes:
    """As `pack_bulk` of a sequence whose last value is packed already.

    Raises
    ------
    TypeError : as `pack_bulk`
    """
    packed = pack_bulk(values)
    items = memoryview(packed)[list_head(packed)[1] :]
    return b"".join((pack_list_head(len(values) + 1), items, last))


def unpack_first(data: bytes, count: int) -> tuple[list[Any], bytes]:
    """The first `count` values of what `pack_bulk` made of a sequence, and the next still packed.

    What follows is skipped.

    Raises
    ------
    ValueError : if there are fewer, or the bytes are no such sequence and nothing else
    """
    reader = cast(
        "Any",
        msgpack.Unpacker(
            max_buffer_size=max(1, len(data)), strict_map_key=False, ext_hook=_extension_to_array
        ),
    )
    reader.feed(data)
    try:
        length = reader.read_array_header()
        if length <= count:
            raise ValueError(f"{length} values, not more than {count}")
        values = [reader.unpack() for _ in range(count)]
        begin = reader.tell()
        reader.skip()
        end = reader.tell()
        for _ in range(length - count - 1):
            reader.skip()
    except msgpack.OutOfData:
        raise ValueError("the bytes are cut short") from None
    if reader.tell() != len(data):
        raise ValueError("there are bytes behind the end")
    return values, data[begin:end]


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
