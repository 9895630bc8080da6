"""Histories: what came with an entry is neither read nor changed until somebody asks."""

from __future__ import annotations

import pickle

import pytest

from stargen.codec import pack_bulk, unpack_bulk
from stargen.errors import BadResult
from stargen.provenance import History, Provenance, one_more, pack_history

STEPS = tuple(Provenance("echo.map", "0.1", f"echo-{k}", "abc", k, {"k": k}) for k in range(20))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 20])
def test_a_history_is_what_was_packed_and_what_was_added(count: int):
    came = History(pack_history(STEPS[:count]))
    grown = one_more(came, STEPS[0])
    assert len(came) == count
    assert came == STEPS[:count]
    assert STEPS[:count] == came
    assert grown == (*STEPS[:count], STEPS[0])
    assert grown[-1] == STEPS[0]
    assert pack_history(grown) == pack_history((*STEPS[:count], STEPS[0]))
    assert pickle.loads(pickle.dumps(grown)) == grown


def test_a_tuple_grows_too():
    assert one_more(STEPS[:2], STEPS[2]) == STEPS[:3]
    assert History(pack_history(STEPS)) != STEPS[:19]


def test_fields_of_a_newer_version_are_kept():
    packed = pack_bulk([["echo.map", "0.1", "echo", "abc", None, {}, "new"]])
    grown = one_more(History(packed), STEPS[0])
    assert grown[0] == Provenance("echo.map", "0.1", "echo", "abc")
    assert unpack_bulk(pack_history(grown))[0][-1] == "new"


def test_what_is_no_list_is_refused():
    for packed in (b"", pack_bulk(3), pack_bulk({"a": 1})):
        with pytest.raises(ValueError, match="not a list"):
            History(packed)


@pytest.mark.parametrize("step", [3, ["too", "short"], {"a": "table"}])
def test_what_is_no_step_is_a_bad_result_when_it_is_read(step: object):
    came = History(pack_bulk([step]))
    assert len(one_more(came, STEPS[0])) == 2
    with pytest.raises(BadResult, match="a step of the provenance is none"):
        list(came)
