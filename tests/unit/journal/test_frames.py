from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stargen.journal import frames
from stargen.journal.frames import FrameWalk, mark_before, synced_beyond
from stargen.journal.framing import (
    HEAD_SIZE,
    MARK,
    MARK_SIZE,
    MAX_BODY,
    PAYLOAD,
    RECORD,
    Mark,
    encode_mark,
    frame_head,
    pack_head,
)


def frame(kind: int, body: bytes) -> bytes:
    return frame_head(kind, body) + body


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def walk(fd: int, data: bytes, *, payloads: bool = True) -> tuple[list[object], FrameWalk]:
    os.pwrite(fd, data, 0)
    walk = FrameWalk(fd, 0, len(data), payloads=payloads)
    return list(walk), walk


@pytest.mark.parametrize("chunk", [1, 10, 50, frames.CHUNK])
def test_frames_come_in_order_whatever_is_read_at_once(
    fd: int, monkeypatch: pytest.MonkeyPatch, chunk: int
):
    monkeypatch.setattr(frames, "CHUNK", chunk)
    data = encode_mark(Mark(0, 0, 0)) + frame(PAYLOAD, b"p" * 30) + frame(RECORD, b"r")
    found, end = walk(fd, data)
    places = [0, MARK_SIZE, MARK_SIZE + HEAD_SIZE + 30]
    assert [(kind, at) for kind, at, _ in found] == [
        (MARK, places[0]),
        (PAYLOAD, places[1]),
        (RECORD, places[2]),
    ]
    assert [body for kind, _, body in found if kind != MARK] == [b"p" * 30, b"r"]
    assert (end.offset, end.problem) == (len(data), None)


def test_payloads_are_skipped_unread_even_if_bad(fd: int):
    bad = bytearray(frame(PAYLOAD, b"p" * 1000))
    bad[500] ^= 1
    found, end = walk(fd, bytes(bad) + frame(RECORD, b"r"), payloads=False)
    assert [body for _, _, body in found] == [None, b"r"]
    assert end.problem is None


@pytest.mark.parametrize(
    ("tail", "problem"),
    [
        (b"\1", "head is cut short"),
        (frame(RECORD, b"long")[:-1], "ends beyond"),
        (bytes(20), "checksum"),
        (frame(RECORD, b"long")[:-1] + b"!", "checksum"),
        (pack_head(MAX_BODY + 1, 0, PAYLOAD) + bytes(20), "ends beyond"),
        (encode_mark(Mark(9, 0, 0)), "wrong place"),
        (frame(MARK, b"no mark"), "wrong place"),
    ],
)
def test_a_bad_frame_ends_the_walk_before_it(fd: int, tail: bytes, problem: str):
    good = frame(RECORD, b"good")
    found, end = walk(fd, good + tail)
    assert found == [(RECORD, 0, b"good")]
    assert end.offset == len(good)
    assert problem in str(end.problem)


def test_a_file_shorter_than_said_ends_the_walk(fd: int):
    os.pwrite(fd, frame(RECORD, b"cut")[:-1], 0)
    walk = FrameWalk(fd, 0, 100, payloads=True)
    assert list(walk) == []
    assert walk.problem == "a frame is cut short"


@pytest.mark.parametrize("chunk", [1, 7, 64, frames.CHUNK])
def test_only_a_later_mark_proves_that_a_place_was_synced(
    fd: int, monkeypatch: pytest.MonkeyPatch, chunk: int
):
    monkeypatch.setattr(frames, "CHUNK", chunk)
    os.pwrite(fd, b"x" * 100 + encode_mark(Mark(100, 80, 1)) + b"y" * 50, 0)
    assert synced_beyond(fd, 79)
    assert not synced_beyond(fd, 80)
    assert not synced_beyond(fd, 100 + MARK_SIZE)


def test_a_mark_that_is_damaged_or_out_of_place_proves_nothing(fd: int):
    bad = bytearray(encode_mark(Mark(100, 80, 1)))
    bad[-1] ^= 1
    os.pwrite(fd, b"x" * 100 + bytes(bad) + encode_mark(Mark(100, 80, 1)), 0)
    assert not synced_beyond(fd, 0)


@pytest.mark.parametrize("chunk", [1, 60, 200, frames.CHUNK])
def test_a_mark_before_a_position_is_found_by_bisection(
    fd: int, monkeypatch: pytest.MonkeyPatch, chunk: int
):
    monkeypatch.setattr(frames, "CHUNK", chunk)
    data = b""
    for before in range(0, 400, 10):
        data += encode_mark(Mark(len(data), 0, before)) + b"x" * (before % 70)
    os.pwrite(fd, data, 0)
    for position in range(400):
        mark = mark_before(fd, len(data), position)
        if chunk < 200 and position >= 30:
            assert mark is not None
            assert position - 20 < mark.before <= position
        assert mark is None or mark.before <= position
    assert mark_before(fd, 0, 5) is None
