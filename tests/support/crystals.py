"""Small crystals, and strategies that draw any."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from stargen.crystal import Candidate, Crystal, Scalar
from stargen.provenance import Provenance


def rocksalt(cation: int = 11, anion: int = 17, *, a_ang: float = 5.64) -> Crystal:
    """The primitive cell of NaCl, or of another pair of elements."""
    lattice = a_ang / 2 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal.of(lattice, [[0, 0, 0], [0.5, 0.5, 0.5]], [cation, anion])


def candidate(
    candidate_id: str = "make/0", crystal: Crystal | None = None, **properties: Scalar
) -> Candidate:
    return Candidate(candidate_id, crystal or rocksalt(), properties)


scalars: st.SearchStrategy[Scalar] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
)

provenances = st.builds(
    Provenance,
    st.text(),
    st.text(),
    st.text(),
    st.text(),
    st.none() | st.integers(0, 2**32),
    st.dictionaries(st.text(), scalars, max_size=3),
)


@st.composite
def crystals(draw: st.DrawFn, max_atoms: int = 12) -> Crystal:
    """Any crystal: finite numbers of every size, no regard to physics."""
    n_atoms = draw(st.integers(1, max_atoms))
    finite = st.floats(allow_nan=False, allow_infinity=False)
    lattice = draw(npst.arrays(np.float64, (3, 3), elements=finite))
    coords = draw(npst.arrays(np.float64, (n_atoms, 3), elements=finite))
    numbers = draw(npst.arrays(np.uint8, n_atoms, elements=st.integers(1, 118)))
    return Crystal.of(lattice, coords, numbers)


bulk = st.recursive(
    scalars | st.binary(max_size=20) | npst.arrays(np.float64, (2, 3), elements=st.floats(-1, 1)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)

candidates: st.SearchStrategy[Candidate] = st.builds(
    Candidate,
    st.text(min_size=1),
    crystals(),
    st.dictionaries(st.text(), scalars, max_size=4),
    st.dictionaries(st.text(), bulk, max_size=3),
    st.lists(provenances, max_size=3).map(tuple),
)
