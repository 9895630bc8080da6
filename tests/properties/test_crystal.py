"""Entries: what goes in comes out, and nothing else does."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.crystals import candidates, crystals

from stargen.crystal import (
    Candidate,
    Crystal,
    Drop,
    decode_drops,
    decode_entry,
    encode_drops,
    encode_entry,
    envelope_of,
)
from stargen.errors import BadResult


@given(candidates)
def test_a_candidate_survives_its_entry(candidate: Candidate):
    entry = encode_entry(candidate)
    copy = decode_entry(entry)
    assert copy.candidate_id == candidate.candidate_id
    assert copy.crystal == candidate.crystal
    assert copy.properties == candidate.properties
    assert copy.provenance == candidate.provenance
    np.testing.assert_equal(dict(copy.data), dict(candidate.data))
    assert encode_entry(copy) == entry


@given(candidates)
def test_the_envelope_agrees_with_the_candidate(candidate: Candidate):
    envelope = envelope_of(encode_entry(candidate))
    assert envelope == candidate.envelope
    assert envelope.candidate_id == candidate.candidate_id
    assert envelope.structure_hash == candidate.crystal.content_hash()
    assert envelope.n_atoms == candidate.crystal.n_atoms
    assert sorted(envelope.elements) == sorted(set(candidate.crystal.symbols))
    assert envelope.properties == candidate.properties


@given(crystals(max_atoms=4), st.integers(0, 2), st.integers(0, 2), st.floats(0.5, 1.5))
def test_another_content_has_another_hash(crystal: Crystal, row: int, column: int, by: float):
    lattice = crystal.lattice.copy()
    lattice[row, column] += by
    changed = Crystal.of(lattice, crystal.frac_coords, crystal.numbers)
    same = np.array_equal(lattice, crystal.lattice)  # a huge number swallows what is added
    assert (changed == crystal) is same


@given(st.binary(max_size=300))
def test_any_bytes_are_an_entry_or_a_bad_result(data: bytes):
    for read in (decode_entry, envelope_of):
        try:
            read(data)
        except BadResult:
            continue


@given(candidates, st.data())
def test_a_flipped_byte_is_a_candidate_or_a_bad_result(candidate: Candidate, data: st.DataObject):
    entry = bytearray(encode_entry(candidate))
    where = data.draw(st.integers(0, len(entry) - 1))
    entry[where] ^= data.draw(st.integers(1, 255))
    try:
        decode_entry(bytes(entry))
    except BadResult:
        return


@given(st.lists(st.builds(Drop, st.text(), st.text(), st.text(), st.text())))
def test_drops_survive_their_block(drops: list[Drop]):
    assert decode_drops(encode_drops(drops)) == drops
