from __future__ import annotations

import struct
from zlib import crc32

import pytest

from stargen.errors import JournalVersion
from stargen.journal.framing import (
    HEADER_SIZE,
    MARK,
    MARK_SIZE,
    Mark,
    SegmentHeader,
    decode_header,
    decode_mark,
    encode_header,
    encode_mark,
    frame_head,
    unpack_head,
)

HEADER = SegmentHeader(segment=3, epoch=2, before=1_000, previous=4_096, version="0.1.0")


def test_a_header_comes_back():
    data = encode_header(HEADER)
    assert len(data) == HEADER_SIZE == 64
    assert decode_header(data + b"frames", "s") == HEADER


def test_the_first_bytes_of_a_header_stay_as_they_are():
    assert encode_header(HEADER)[:12] == b"STARGENJ\x01\x00\x00\x00"
    assert encode_header(HEADER)[16:32] == b"0.1.0".ljust(16, b"\0")


@pytest.mark.parametrize("place", range(HEADER_SIZE))
def test_a_header_with_any_changed_byte_is_none(place: int):
    data = bytearray(encode_header(HEADER))
    data[place] ^= 0x40
    assert decode_header(bytes(data), "s") is None


def test_a_header_of_a_later_major_version_names_its_writer():
    data = bytearray(encode_header(SegmentHeader(1, 1, 0, 0, version="7.2.1")))
    struct.pack_into("<HH", data, 8, 5, 3)
    struct.pack_into("<I", data, 12, 0)
    struct.pack_into("<I", data, 12, crc32(data))
    with pytest.raises(JournalVersion, match=r"s was written by Star-gen 7\.2\.1.*form 5\.3"):
        decode_header(bytes(data), "s")


def test_a_header_of_a_later_minor_version_is_read():
    data = bytearray(encode_header(HEADER))
    struct.pack_into("<HHI", data, 8, 1, 9, 0)
    struct.pack_into("<I", data, 12, crc32(data))
    assert decode_header(bytes(data), "s") == HEADER


def test_a_mark_comes_back():
    mark = Mark(offset=64, synced=64, before=0)
    frame = encode_mark(mark)
    assert len(frame) == MARK_SIZE
    length, _, kind = unpack_head(frame)
    assert kind == MARK
    assert decode_mark(frame[-length:]) == mark
    assert decode_mark(frame) is None


def test_the_checksum_covers_the_kind():
    assert frame_head(1, b"body")[4:8] != frame_head(2, b"body")[4:8]


def test_zeros_are_no_frame():
    length, crc, kind = unpack_head(bytes(9))
    assert frame_head(kind, b"") != bytes(9)
    assert (length, crc, kind) == (0, 0, 0)
