from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from support.crystals import candidate, rocksalt

from stargen.codec import pack, pack_bulk
from stargen.crystal import (
    Crystal,
    Drop,
    Envelope,
    decode_drops,
    decode_entry,
    encode_drops,
    encode_entry,
    envelope_of,
)
from stargen.errors import BadResult
from stargen.provenance import Provenance

CUBE = 4 * np.eye(3)


# --- Crystal ----------------------------------------------------------------------------------


def test_of_takes_anything_array_like():
    crystal = Crystal.of([[4, 0, 0], [0, 4, 0], [0, 0, 4]], [[0, 0, 0]], [55])
    assert crystal.lattice.dtype == np.float64
    assert crystal.frac_coords.dtype == np.float64
    assert crystal.numbers.dtype == np.uint8
    assert crystal.n_atoms == 1


@pytest.mark.parametrize(
    ("lattice", "coords", "numbers", "saying"),
    [
        (np.eye(2), [[0, 0, 0]], [1], "shape"),
        (CUBE, [[0, 0, 0]], [1, 1], "1 positions for 2 atoms"),
        (CUBE, [], [], "0 positions for 0 atoms"),
        (CUBE * math.nan, [[0, 0, 0]], [1], "not finite"),
        (CUBE, [[0, math.inf, 0]], [1], "not finite"),
        (CUBE, [[0, 0, 0]], [0], "1..118"),
        (CUBE, [[0, 0, 0]], [119], "1..118"),
        (CUBE, [[0, 0, 0]], [300], "1..118"),
        (CUBE, [[0, 0, 0]], [-1], "1..118"),
    ],
)
def test_of_refuses_what_is_no_crystal(lattice: Any, coords: Any, numbers: Any, saying: str):
    with pytest.raises(ValueError, match=saying):
        Crystal.of(lattice, coords, numbers)


def test_what_it_tells_about_itself():
    crystal = rocksalt(a_ang=4.0)
    assert crystal.volume == pytest.approx(16.0)
    assert crystal.symbols == ["Na", "Cl"]
    assert crystal.formula == "ClNa"


def test_a_left_handed_cell_has_a_positive_volume():
    assert Crystal.of(CUBE[[1, 0, 2]], [[0, 0, 0]], [1]).volume == pytest.approx(64.0)


def test_equal_content_is_equal():
    assert rocksalt() == rocksalt()
    assert hash(rocksalt()) == hash(rocksalt())
    assert rocksalt() != rocksalt(a_ang=5.65)
    assert rocksalt(11, 17) != rocksalt(17, 11)
    assert rocksalt() != "rocksalt"


def test_the_content_hash_is_a_name_for_ever():
    # A changed digest would orphan every result stored under the old one.
    assert rocksalt().content_hash().hex() == "06a2e232104f09f7e8d9581fa4f7573d"


def test_pymatgen_and_back():
    pytest.importorskip("pymatgen.core")
    crystal = rocksalt()
    structure = crystal.to_pymatgen()
    assert structure.composition.reduced_formula == "NaCl"
    assert Crystal.from_pymatgen(structure) == crystal


def test_partial_occupancies_are_refused():
    core = pytest.importorskip("pymatgen.core")
    mixed = core.Structure(core.Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    with pytest.raises(ValueError, match="partial occupancies"):
        Crystal.from_pymatgen(mixed)


# --- Candidate --------------------------------------------------------------------------------


def test_with_adds_and_leaves_the_original_alone():
    first = candidate(band_gap=1.0)
    second = first.with_(data={"forces": [1]}, band_gap=2.0, e_above_hull=0.1)
    third = second.with_(rocksalt(19), data={"stress": [2]})
    assert first.properties == {"band_gap": 1.0}
    assert second.properties == {"band_gap": 2.0, "e_above_hull": 0.1}
    assert second.crystal is first.crystal
    assert third.crystal.formula == "ClK"
    assert third.data == {"forces": [1], "stress": [2]}
    assert third.candidate_id == first.candidate_id


def test_drop_bears_the_id():
    assert candidate("make/7").drop("too small", "0.3 Å") == Drop(
        "make/7", "too small", "0.3 Å", ""
    )


# --- entries ----------------------------------------------------------------------------------


def test_the_envelope_reads_without_the_blob():
    one = candidate("make/3", e_above_hull=0.02)
    entry = encode_entry(one)
    (size,) = struct.unpack_from("<I", entry)
    envelope = envelope_of(entry[: 4 + size] + b"\xc1 not even msgpack")
    assert envelope == Envelope(
        "make/3", one.crystal.content_hash(), "ClNa", 2, {"e_above_hull": 0.02}
    )
    assert envelope.elements == ("Cl", "Na")
    assert one.envelope == envelope


def test_an_absent_number_may_be_nan():
    properties = decode_entry(encode_entry(candidate(gap=math.nan, up=math.inf))).properties
    assert math.isnan(properties["gap"])
    assert properties["up"] == math.inf


def test_numpy_scalars_become_plain():
    given = candidate(a=np.float32(0.5), b=np.int64(3), c=np.bool_(True), d=np.str_("x"))
    properties = decode_entry(encode_entry(given)).properties
    assert properties == {"a": 0.5, "b": 3, "c": True, "d": "x"}
    assert [type(value) for value in properties.values()] == [float, int, bool, str]


@pytest.mark.parametrize(
    "value",
    [[1.0], {"a": 1}, b"bytes", np.zeros(3), 1 + 2j, object(), 2**70, np.datetime64("2026-01-01")],
)
def test_a_property_that_is_no_scalar_is_a_bad_result(value: Any):
    with pytest.raises(BadResult):
        encode_entry(candidate(odd=value))


def test_bulk_data_that_cannot_be_written_is_a_bad_result():
    with pytest.raises(BadResult, match="candidate make/0 cannot be written"):
        encode_entry(candidate().with_(data={"model": object()}))


def test_bulk_arrays_survive():
    forces = np.arange(6.0).reshape(2, 3)
    data = decode_entry(encode_entry(candidate().with_(data={"forces": forces}))).data
    np.testing.assert_array_equal(data["forces"], forces)


def entry_of(clear: list[Any], blob: list[Any]) -> bytes:
    envelope = pack(clear)
    return struct.pack("<I", len(envelope)) + envelope + pack_bulk(blob)


def forms(entry: bytes) -> tuple[list[Any], list[Any]]:
    """The two lists that an entry is made of, to change them."""
    one = decode_entry(entry)
    crystal = one.crystal
    clear = [*envelope_of(entry)]
    blob = [
        crystal.lattice.tobytes(),
        crystal.frac_coords.tobytes(),
        crystal.numbers.tobytes(),
        dict(one.data),
        [
            [p.calculator, p.version, p.job, p.params_hash, p.seed, dict(p.note)]
            for p in one.provenance
        ],
    ]
    return clear, blob


STAMPED = candidate("make/1", gap=0.5)
STAMPED = type(STAMPED)(
    "make/1",
    STAMPED.crystal,
    STAMPED.properties,
    {},
    (Provenance("echo.map", "0.1", "echo", "abc", 7, {"k": 1}),),
)


def test_the_form_is_the_documented_one():
    assert entry_of(*forms(encode_entry(STAMPED))) == encode_entry(STAMPED)


def test_fields_of_a_newer_version_are_ignored():
    clear, blob = forms(encode_entry(STAMPED))
    blob[4] = [[*step, "new"] for step in blob[4]]
    newer = entry_of([*clear, "new"], [*blob, "new"])
    assert decode_entry(newer) == STAMPED
    assert envelope_of(newer) == STAMPED.envelope


def test_provenance_of_an_older_version_reads_with_defaults():
    clear, blob = forms(encode_entry(STAMPED))
    blob[4] = [step[:4] for step in blob[4]]
    assert decode_entry(entry_of(clear, blob)).provenance == (
        Provenance("echo.map", "0.1", "echo", "abc"),
    )


@pytest.mark.parametrize("part", range(5))
def test_a_part_of_the_wrong_kind_is_a_bad_result(part: int):
    clear, blob = forms(encode_entry(STAMPED))
    blob[part] = 3.5 if part != 3 else blob[part]
    if part == 3:
        blob[2] = b"\x01" * 5  # as many positions as before, more atoms
    with pytest.raises(BadResult, match="not an entry"):
        decode_entry(entry_of(clear, blob))


def test_a_cut_entry_is_a_bad_result():
    whole = encode_entry(STAMPED)
    for end in range(len(whole)):
        with pytest.raises(BadResult):
            decode_entry(whole[:end])


# --- drops ------------------------------------------------------------------------------------


def test_drops_travel_as_a_block():
    drops = [Drop("a/1", "duplicate", "of a/0", "filters.unique"), Drop("a/2", "not neutral")]
    assert decode_drops(encode_drops(drops)) == drops
    assert decode_drops(b"") == []
    assert decode_drops(encode_drops([])) == []


def test_drops_of_other_versions_are_read():
    block = pack([["a/1", "duplicate"], ["a/2", "not neutral", "", "step", "new"]])
    assert decode_drops(block) == [Drop("a/1", "duplicate"), Drop("a/2", "not neutral", "", "step")]
