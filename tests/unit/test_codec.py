from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from stargen.codec import (
    list_head,
    pack,
    pack_bulk,
    pack_first,
    pack_list_head,
    unpack,
    unpack_bulk,
    unpack_first,
)

plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(-(2**31), 2**31), inner)
    ),
    max_leaves=20,
)
arrays = npst.arrays(
    dtype=npst.scalar_dtypes().filter(lambda dtype: dtype.kind in "biufcSU"),
    shape=npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


@given(plain_values)
def test_plain_values_survive(value: object):
    assert unpack(pack(value)) == value
    assert unpack_bulk(pack_bulk(value)) == value


def test_sequences_come_back_as_lists():
    assert unpack(pack((1, (2, 3)))) == [1, [2, 3]]


@given(arrays)
def test_arrays_survive_with_shape_and_dtype(array: np.ndarray):
    copy = unpack_bulk(pack_bulk({"deep": [array]}))["deep"][0]
    assert copy.dtype == array.dtype
    assert copy.shape == array.shape
    np.testing.assert_array_equal(copy, array)


def test_an_array_in_fortran_order_keeps_its_meaning():
    array = np.asfortranarray(np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(unpack_bulk(pack_bulk(array)), array)


def test_arrays_come_back_read_only():
    with pytest.raises(ValueError, match="read-only"):
        unpack_bulk(pack_bulk(np.zeros(2)))[0] = 1.0


def test_numpy_numbers_become_plain_ones():
    assert unpack_bulk(pack_bulk([np.float32(0.5), np.int64(3), np.bool_(True)])) == [0.5, 3, True]


def test_no_table_is_mistaken_for_an_array():
    table = {"__array__": "<f8", "shape": [1], "bytes": b"12345678"}
    assert unpack_bulk(pack_bulk(table)) == table


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        np.array([object()]),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    ],
)
def test_what_has_no_form_is_refused(value: object):
    with pytest.raises(TypeError, match="cannot be written"):
        pack_bulk(value)


def test_what_could_not_be_packed_leaves_nothing_behind():
    with pytest.raises(TypeError):
        pack(["half", object()])
    assert unpack(pack(["whole"])) == ["whole"]


def test_threads_pack_side_by_side():
    def packed(number: int) -> bool:
        values = [[number, n, "x" * n] for n in range(500)]
        return all(unpack(pack(value)) == value for value in values)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(packed, range(16)))


def test_arrays_are_no_plain_values():
    with pytest.raises(TypeError):
        pack(np.zeros(2))


@given(st.binary(max_size=64))
def test_garbage_is_a_value_error(data: bytes):
    for read in (unpack, unpack_bulk):
        with contextlib.suppress(ValueError, TypeError):  # TypeError: an unhashable key
            read(data)


def test_a_cut_message_is_a_value_error():
    whole = pack_bulk({"a": np.arange(10)})
    for end in range(len(whole)):
        with pytest.raises(ValueError):
            unpack_bulk(whole[:end])


@given(st.lists(plain_values, max_size=5), st.lists(plain_values, max_size=40))
def test_a_packed_list_is_taken_in_and_handed_out_as_it_is(first: list[object], last: list[object]):
    packed = pack_bulk(last)
    whole = pack_first(first, packed)
    assert whole == pack_bulk([*first, last])
    assert unpack_first(whole, len(first)) == (first, packed)
    assert list_head(packed)[0] == len(last)
    assert pack_list_head(len(last)) == packed[: list_head(packed)[1]]


def test_what_follows_the_wanted_values_is_skipped():
    assert unpack_first(pack_bulk([1, [2], [3, {"four": 5}], 6]), 1) == ([1], pack_bulk([2]))


@pytest.mark.parametrize(
    "data", [b"", pack(3), pack([1]), pack([1, [2]]) + b"x", pack([1, "ab"])[:-1]]
)
def test_what_is_no_such_sequence_is_a_value_error(data: bytes):
    with pytest.raises(ValueError):
        unpack_first(data, 1)
