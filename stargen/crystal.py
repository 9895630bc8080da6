"""What travels through a campaign: Crystal, Candidate, Drop, and the form they take on the wire.

An *entry* is one candidate as bytes: a length, the envelope (ids, formula and scalar properties in
the clear) and the blob (everything else). Whoever only routes reads the envelope and passes the
entry on unread; only calculators and sinks decode the blob.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stargen.codec import pack, pack_first, unpack, unpack_first
from stargen.elements import SYMBOLS, formula_elements, reduced_formula
from stargen.errors import BadResult
from stargen.provenance import History, Provenance, pack_history

if TYPE_CHECKING:
    from pymatgen.core import Structure

Scalar = float | int | str | bool | None
"""A property: a number in the unit its name says, a short text, a flag, or absent."""

_LENGTH = struct.Struct("<I")
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, struct.error)


@dataclass(frozen=True, slots=True, eq=False)
class Crystal:
    """A periodic arrangement of atoms.

    Parameters
    ----------
    lattice : (3, 3) float64, Å; rows are a, b, c
    frac_coords : (n_atoms, 3) float64, fractional
    numbers : (n_atoms,) uint8, atomic numbers

    Raises
    ------
    ValueError : if shapes do not fit, a value is not finite, or an atomic number is not 1..118
    """

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    numbers: NDArray[np.uint8]

    @classmethod
    def of(cls, lattice: ArrayLike, frac_coords: ArrayLike, numbers: ArrayLike) -> Self:
        """A checked crystal from anything array-like."""
        cell = np.ascontiguousarray(lattice, dtype=np.float64)
        coords = np.ascontiguousarray(frac_coords, dtype=np.float64).reshape(-1, 3)
        wide = np.asarray(numbers, dtype=np.int64).reshape(-1)
        if cell.shape != (3, 3):
            raise ValueError(f"lattice has shape {cell.shape}, not (3, 3)")
        if len(coords) != len(wide) or len(wide) == 0:
            raise ValueError(f"{len(coords)} positions for {len(wide)} atoms")
        if not (np.isfinite(cell).all() and np.isfinite(coords).all()):
            raise ValueError("lattice or positions are not finite")
        if wide.min() < 1 or wide.max() >= len(SYMBOLS):
            raise ValueError(f"atomic numbers must lie in 1..{len(SYMBOLS) - 1}")
        return cls(cell, coords, wide.astype(np.uint8))

    @classmethod
    def from_pymatgen(cls, structure: Structure) -> Self:
        """From an ordered `pymatgen.core.Structure`; disorder is a ValueError."""
        if not structure.is_ordered:
            raise ValueError("the structure has partial occupancies")
        return cls.of(structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)

    def to_pymatgen(self) -> Structure:
        """As `pymatgen.core.Structure`; imports pymatgen only now."""
        from pymatgen.core import Lattice, Structure

        return Structure(Lattice(self.lattice), self.numbers.tolist(), self.frac_coords)

    @property
    def n_atoms(self) -> int:
        return len(self.numbers)

    @property
    def volume(self) -> float:
        """Cell volume, Å^3."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def symbols(self) -> list[str]:
        return [SYMBOLS[z] for z in self.numbers.tolist()]

    @property
    def formula(self) -> str:
        """Reduced formula, symbols in alphabetical order."""
        return reduced_formula(self.numbers.tobytes())

    def content_hash(self) -> bytes:
        """16 bytes that name the exact content (no symmetry or cell choice is folded in)."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(self.numbers.tobytes())
        digest.update(self.lattice.astype("<f8").tobytes())
        digest.update(self.frac_coords.astype("<f8").tobytes())
        return digest.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Crystal) and self.content_hash() == other.content_hash()

    def __hash__(self) -> int:
        return hash(self.content_hash())


@dataclass(frozen=True, slots=True)
class Candidate:
    """A crystal on its way through a campaign.

    Parameters
    ----------
    candidate_id : str
        Birth name, ``job/ordinal`` for a source; stable through maps; a fan-out appends ``/job.k``.
    crystal : Crystal
    properties : scalar properties, named with the field's names, in eV, Å, GPa, ...
    data : bulk results (nested lists, bytes, numpy arrays), msgpack-able
    provenance : the steps so far, oldest first
    """

    candidate_id: str
    crystal: Crystal
    properties: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    provenance: Sequence[Provenance] = ()

    def with_(
        self,
        crystal: Crystal | None = None,
        *,
        data: Mapping[str, Any] | None = None,
        **properties: Scalar,
    ) -> Candidate:
        """The same candidate with a new crystal, or properties and data added."""
        return replace(
            self,
            crystal=self.crystal if crystal is None else crystal,
            properties={**self.properties, **properties},
            data=self.data if data is None else {**self.data, **data},
        )

    def drop(self, reason: str, detail: str = "") -> Drop:
        """The verdict that ends this candidate's way."""
        return Drop(self.candidate_id, reason, detail)

    @property
    def envelope(self) -> Envelope:
        """What may be read of it without decoding; computed on each call.

        Raises
        ------
        BadResult : if a property is not a scalar
        """
        return Envelope(
            self.candidate_id,
            self.crystal.content_hash(),
            self.crystal.formula,
            self.crystal.n_atoms,
            {name: _scalar(name, value) for name, value in self.properties.items()},
        )


class Drop(NamedTuple):
    """A verdict: this candidate goes no further. Not a failure.

    `reason` is short and of few kinds (it is counted), `detail` is free text; `step` is filled in
    by the runner: which step of the job said so.
    """

    candidate_id: str
    reason: str
    detail: str = ""
    step: str = ""


class Envelope(NamedTuple):
    """What the scheduler may read of a candidate without decoding it."""

    candidate_id: str
    structure_hash: bytes
    formula: str
    n_atoms: int
    properties: dict[str, Scalar]

    @property
    def elements(self) -> tuple[str, ...]:
        return formula_elements(self.formula)


def encode_entry(candidate: Candidate) -> bytes:
    """A candidate as one entry.

    Raises
    ------
    BadResult : if a property is not a scalar or the bulk data cannot be written
    """
    crystal = candidate.crystal
    try:
        clear = pack(candidate.envelope)
        known = (
            crystal.lattice.tobytes(),
            crystal.frac_coords.tobytes(),
            crystal.numbers.tobytes(),
            dict(candidate.data),
        )
        blob = pack_first(known, pack_history(candidate.provenance))
    except (TypeError, ValueError, OverflowError) as error:
        raise BadResult(f"candidate {candidate.candidate_id} cannot be written: {error}") from error
    return b"".join((_LENGTH.pack(len(clear)), clear, blob))


def decode_entry(entry: bytes) -> Candidate:
    """The candidate of an entry, the inverse of `encode_entry`.

    Fields that a newer version appended are ignored.

    Raises
    ------
    BadResult : if the bytes are no entry; of a step of the provenance, when it is read
    """
    try:
        end = _end_of_envelope(entry)
        candidate_id, _, _, _, properties = unpack(entry[4:end])[:5]
        (lattice, coords, numbers, data), steps = unpack_first(entry[end:], 4)
        crystal = Crystal(
            np.frombuffer(lattice, dtype="<f8").reshape(3, 3),
            np.frombuffer(coords, dtype="<f8").reshape(-1, 3),
            np.frombuffer(numbers, dtype=np.uint8),
        )
        if len(crystal.frac_coords) != len(crystal.numbers):
            raise ValueError(f"{len(crystal.frac_coords)} positions for {crystal.n_atoms} atoms")
        past = History(steps)
    except _UNREADABLE as error:
        raise BadResult(f"not an entry: {error}") from error
    return Candidate(candidate_id, crystal, properties, data, past)


def envelope_of(entry: bytes) -> Envelope:
    """The envelope of an entry; the blob stays unread.

    Raises
    ------
    BadResult : if the bytes do not begin with an envelope
    """
    try:
        return Envelope(*unpack(entry[4 : _end_of_envelope(entry)])[:5])
    except _UNREADABLE as error:
        raise BadResult(f"not an entry: {error}") from error


def _end_of_envelope(entry: bytes) -> int:
    end = 4 + _LENGTH.unpack_from(entry)[0]
    if end > len(entry):
        raise ValueError(f"an envelope of {end - 4} bytes in an entry of {len(entry)}")
    return end


def encode_drops(drops: Iterable[Drop]) -> bytes:
    """Verdicts as one block of bytes."""
    return pack([tuple(drop) for drop in drops])


def decode_drops(block: bytes) -> list[Drop]:
    """The inverse of `encode_drops`; an empty block is an empty list."""
    return [Drop(*row[:4]) for row in unpack(block)] if block else []


def _scalar(name: str, value: object) -> Scalar:
    if isinstance(value, np.generic):
        value = cast("object", value.item())
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise BadResult(f"property {name} is a {type(value).__name__}; bulk results belong in data")
