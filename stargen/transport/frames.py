"""Frames on a byte stream: one marker, then length, kind and body, over and over.

    noise... MARKER  u32 length | u8 kind | body   u32 length | u8 kind | body   ...

The stream may begin with noise, because a remote shell runs start-up files that print whatever
they like; everything before the marker is skipped, up to a bound. The marker holds CR LF, as PNG's
does, so a stream that a terminal has altered is seen as one. Lengths are little-endian.
"""

from __future__ import annotations

import struct
from typing import Final

from stargen.errors import RemoteProtocolError

MARKER: Final = b"\x93STARGEN\r\n\x1a\n"
MAX_NOISE: Final = 64 * 1024
MAX_BODY: Final = 1024 * 1024

HELLO: Final = 1
REFUSED: Final = 2
MESSAGE: Final = 3
"""A whole message, or the last part of one."""
PART: Final = 4
"""A part of a message with more to come."""
ACK: Final = 5
PING: Final = 6
CLOSE: Final = 7

HEADER: Final = struct.Struct("<IB")

Frame = tuple[int, bytes]


def frame(kind: int, body: bytes | memoryview = b"") -> bytes:
    """One frame as bytes."""
    return HEADER.pack(len(body), kind) + body


class FrameReader:
    """Bytes in, in whatever pieces; whole frames out."""

    def __init__(self, max_body: int = MAX_BODY, max_noise: int = MAX_NOISE) -> None:
        self._max_body = max_body
        self._max_noise = max_noise
        self._synced = False
        self._noise = b""
        self._chunks: list[bytes] = []
        self._held = 0
        self._need = 0

    @property
    def noise(self) -> str:
        """What came before the marker, as far as it can be read: often it says what is wrong."""
        return self._noise.decode(errors="replace").strip()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes.

        Raises
        ------
        RemoteProtocolError : if there is no marker in `max_noise` bytes, or a body is too long
        """
        if self._chunks:
            self._chunks.append(data)
            self._held += len(data)
            if self._held < self._need:
                return []
            data = b"".join(self._chunks)
            self._chunks.clear()
        if not self._synced:
            data = self._after_marker(data)
        return self._frames(data)

    def _after_marker(self, data: bytes) -> bytes:
        seen = self._noise + data
        found = seen.find(MARKER)
        self._synced = found >= 0
        self._noise = seen[:found] if self._synced else seen
        if len(self._noise) > self._max_noise:
            raise RemoteProtocolError(
                f"no greeting within {self._max_noise} bytes; instead: {self.noise[:200]!r}"
            )
        return seen[found + len(MARKER) :] if self._synced else b""

    def _frames(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        start, end = 0, len(data)
        need = HEADER.size
        while end - start >= HEADER.size:
            size, kind = HEADER.unpack_from(data, start)
            if size > self._max_body:
                raise RemoteProtocolError(f"a frame of {size} bytes; the limit is {self._max_body}")
            need = HEADER.size + size
            if end - start < need:
                break
            frames.append((kind, data[start + HEADER.size : start + need]))
            start += need
            need = HEADER.size
        if start < end:
            self._chunks.append(data[start:])
            self._held = end - start
            self._need = need
        return frames
