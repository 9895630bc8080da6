"""Frames out of bytes."""

from __future__ import annotations

import pytest

from stargen.errors import RemoteProtocolError
from stargen.transport import frames
from stargen.transport.frames import MARKER, FrameReader, frame


def test_noise_is_skipped_and_remembered():
    reader = FrameReader()
    assert reader.feed(b"Welcome to node17!\n" + MARKER[:4]) == []
    assert reader.feed(MARKER[4:] + frame(frames.PING)) == [(frames.PING, b"")]
    assert reader.noise == "Welcome to node17!"


def test_endless_noise_is_an_error_that_quotes_it():
    reader = FrameReader(max_noise=1000)
    reader.feed(b"module: command not found\n" * 30)
    with pytest.raises(RemoteProtocolError, match="command not found"):
        reader.feed(b"module: command not found\n" * 30)


def test_a_terminal_that_changes_line_ends_is_noticed():
    reader = FrameReader(max_noise=100)
    with pytest.raises(RemoteProtocolError, match="no greeting"):
        reader.feed(MARKER.replace(b"\r\n", b"\n") + frame(frames.MESSAGE, b"x" * 100))


def test_a_body_over_the_limit_is_refused_before_it_is_read():
    reader = FrameReader(max_body=10)
    with pytest.raises(RemoteProtocolError, match="limit is 10"):
        reader.feed(MARKER + frames.HEADER.pack(11, frames.MESSAGE))


def test_a_long_frame_in_small_pieces_is_joined_once():
    reader = FrameReader()
    data = MARKER + frame(frames.MESSAGE, bytes(100_000))
    pieces = [data[at : at + 7] for at in range(0, len(data), 7)]
    got = [f for piece in pieces for f in reader.feed(piece)]
    assert got == [(frames.MESSAGE, bytes(100_000))]
