from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stargen.codec import pack, unpack
from stargen.errors import RemoteProtocolError
from stargen.tagged import Tags


class Row(NamedTuple):
    number: int
    text: str = "-"


family: Tags[Any] = Tags("fruit")


@family.add(1)
@dataclass(frozen=True, slots=True)
class Apple:
    weight: float
    rows: list[Row]
    best: Row
    names: tuple[str, ...] = ()
    colour: str = "red"


@family.add(7)
@dataclass(frozen=True, slots=True)
class Pear:
    ripe: bool


apples = st.builds(
    Apple,
    st.floats(allow_nan=False),
    st.lists(st.builds(Row, st.integers(0, 2**40), st.text())),
    st.builds(Row, st.integers(0, 9)),
    st.lists(st.text()).map(tuple),
    st.text(),
)


@given(apples | st.builds(Pear, st.booleans()))
def test_round_trip(value: Apple | Pear):
    copy = family.decode(family.encode(value))
    assert copy == value
    assert type(copy) is type(value)


def test_the_form_is_tag_and_fields():
    assert unpack(family.encode(Pear(True))) == [7, True]


def test_fields_of_a_newer_version_are_ignored():
    newer = pack([1, 1.5, [[4, "x", "new"]], [9, "y", "new"], ["n"], "green", "new field"])
    assert family.decode(newer) == Apple(1.5, [Row(4, "x")], Row(9, "y"), ("n",), "green")


def test_fields_that_an_older_version_lacked_take_their_defaults():
    older = pack([1, 1.5, [[4]], [9]])
    assert family.decode(older) == Apple(1.5, [Row(4)], Row(9))


@pytest.mark.parametrize(
    ("data", "saying"),
    [
        (b"", "not a fruit"),
        (b"\xc1", "not a fruit"),
        (pack([]), "not a fruit"),
        (pack(5), "not a fruit"),
        (pack([2, True]), "not a fruit"),
        (pack([[1], True]), "not a fruit"),
        (pack([7]), "bad fruit Pear"),
        (pack([1, 1.5, 3, [9]]), "bad fruit Apple"),
        (pack([1, 1.5, [4], [9]]), "bad fruit Apple"),
        (pack([1, 1.5, [[]], [9]]), "bad fruit Apple"),
    ],
)
def test_garbage_is_the_other_sides_fault(data: bytes, saying: str):
    with pytest.raises(RemoteProtocolError, match=saying):
        family.decode(data)


@given(st.binary(max_size=80))
def test_any_bytes_give_a_value_or_a_protocol_error(data: bytes):
    try:
        value = family.decode(data)
    except RemoteProtocolError:
        return
    assert isinstance(value, Apple | Pear)


def test_a_tag_is_taken_once():
    with pytest.raises(ValueError, match="tag 7 is taken"):
        family.add(7)(Row)


def test_classes_lists_the_family():
    assert family.classes == {1: Apple, 7: Pear}
