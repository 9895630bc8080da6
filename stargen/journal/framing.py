r"""The bytes of a segment: a header, then frames.

    segment = header frame*
    header  = magic[8] major:u16 minor:u16 crc:u32 version[16] segment:u32 0:u32
              epoch:u64 before:u64 previous:u64                       (64 bytes, little-endian)
    frame   = length:u32 crc:u32 kind:u8 body[length]
    mark    = magic[8] offset:u64 synced:u64 before:u64               (body of a mark frame)

A frame is a *record*, a *payload* (entries one after another, addressed by their offset in the
file) or a *mark*. Every group of frames that is written at once begins with a mark, which says how
much of the segment was synced when the group was written. So a bad frame is known for what it is:
if a later mark says that the place was synced, the disk or somebody damaged it; otherwise it is
the torn end of a group that nobody was told of.

The header keeps its first 32 bytes in every major version, so that an old reader can name the
writer of a newer journal.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from stargen.errors import JournalVersion
from stargen.version import __version__

MAGIC = b"STARGENJ"
MAJOR = 1
MINOR = 0

RECORD = 1
PAYLOAD = 2
MARK = 3

_HEADER = struct.Struct("<8sHHI16sIIQQQ")
_HEAD = struct.Struct("<IIB")
_MARK = struct.Struct("<8sQQQ")

HEADER_SIZE = _HEADER.size
HEAD_SIZE = _HEAD.size
MARK_SIZE = HEAD_SIZE + _MARK.size
MAX_BODY = 256 * 2**20
"""Longer bodies are refused: they are a bug, and a damaged length should not ask for memory."""

MARK_MAGIC = b"\x93sgmark\n"
MARK_MAGIC_AT = HEAD_SIZE
"""Where in a mark frame its magic stands; the search for marks behind damage uses it."""

SEEDS = tuple(crc32(bytes([kind])) for kind in range(256))
"""A frame's checksum starts from its kind, so that the kind is covered too (and zeros are bad)."""

pack_head = _HEAD.pack
unpack_head = _HEAD.unpack_from


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says of itself.

    Parameters
    ----------
    segment : its number, from 1 without gaps
    epoch : of the master that wrote it; each opening of the journal begins a new one
    before : records in all earlier segments
    previous : bytes of the segment before that count; what a fenced master wrote behind is ignored
    version : of the Star-gen that wrote it
    """

    segment: int
    epoch: int
    before: int
    previous: int
    version: str = __version__


class Mark(NamedTuple):
    """The first frame of a group: where it stands, what was synced, how many records lie before."""

    offset: int
    synced: int
    before: int


def encode_header(header: SegmentHeader) -> bytes:
    def packed(crc: int) -> bytes:
        version = header.version.encode("ascii", "replace")[:16]
        numbers = (header.segment, 0, header.epoch, header.before, header.previous)
        return _HEADER.pack(MAGIC, MAJOR, MINOR, crc, version, *numbers)

    return packed(crc32(packed(0)))


def decode_header(data: bytes, name: str) -> SegmentHeader | None:
    """The header in the first bytes of a segment; None if they are not a whole one.

    Raises
    ------
    JournalVersion : if the header is whole and of a major version that is not ours
    """
    if len(data) < HEADER_SIZE or data[:8] != MAGIC:
        return None
    data = data[:HEADER_SIZE]
    _, major, minor, crc, version, segment, _, epoch, before, previous = _HEADER.unpack(data)
    if crc32(data[:12] + bytes(4) + data[16:]) != crc:
        return None
    writer = version.rstrip(b"\0").decode("ascii", "replace")
    if major != MAJOR:
        raise JournalVersion(
            f"{name} was written by Star-gen {writer} in journal form {major}.{minor};"
            f" Star-gen {__version__} reads form {MAJOR}"
        )
    return SegmentHeader(segment, epoch, before, previous, writer)


def frame_head(kind: int, body: bytes | bytearray) -> bytes:
    """What stands before `body` in the file."""
    return pack_head(len(body), crc32(body, SEEDS[kind]), kind)


def encode_mark(mark: Mark) -> bytes:
    """A whole mark frame."""
    body = _MARK.pack(MARK_MAGIC, *mark)
    return frame_head(MARK, body) + body


def decode_mark(body: bytes) -> Mark | None:
    """The mark in the body of a mark frame; None if it is none."""
    if len(body) != _MARK.size or body[:8] != MARK_MAGIC:
        return None
    _, offset, synced, before = _MARK.unpack(body)
    return Mark(offset, synced, before)
