from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stargen.elements import ATOMIC_NUMBERS, SYMBOLS, counts, formula_elements, reduced_formula

atoms = st.lists(st.integers(1, 118), min_size=1, max_size=30).map(bytes)


def test_the_table_is_the_periodic_one():
    elements = pytest.importorskip("pymatgen.core").Element
    assert len(SYMBOLS) == 119
    for z in range(1, 119):
        assert elements.from_Z(z).symbol == SYMBOLS[z]


def test_atomic_numbers_invert_symbols():
    assert {SYMBOLS[z]: z for z in range(1, 119)} == ATOMIC_NUMBERS
    assert "X" not in ATOMIC_NUMBERS


def test_counts_ascend_by_atomic_number():
    assert list(counts(bytes([8, 3, 8, 3, 22])).items()) == [(3, 2), (8, 2), (22, 1)]


@pytest.mark.parametrize(
    ("numbers", "formula"),
    [
        ([22, 8, 8], "O2Ti"),
        ([3, 41, 8, 8, 8], "LiNbO3"),
        ([11, 17, 11, 17], "ClNa"),
        ([6], "C"),
        ([8, 8], "O"),
        ([], ""),
    ],
)
def test_reduced_formula(numbers: list[int], formula: str):
    assert reduced_formula(bytes(numbers)) == formula


@given(atoms, st.integers(1, 5))
def test_a_larger_cell_has_the_same_formula(numbers: bytes, times: int):
    assert reduced_formula(numbers * times) == reduced_formula(numbers)


@given(atoms, st.randoms(use_true_random=False))
def test_the_order_of_atoms_does_not_matter(numbers: bytes, random):
    shuffled = bytearray(numbers)
    random.shuffle(shuffled)
    assert reduced_formula(bytes(shuffled)) == reduced_formula(numbers)


@given(atoms)
def test_a_formula_names_its_elements(numbers: bytes):
    named = formula_elements(reduced_formula(numbers))
    assert list(named) == sorted({SYMBOLS[z] for z in numbers})


def test_formula_elements_in_order_of_appearance():
    assert formula_elements("LiFePO4") == ("Li", "Fe", "P", "O")
    assert formula_elements("CH3CH2OH") == ("C", "H", "O")
    assert formula_elements("") == ()
