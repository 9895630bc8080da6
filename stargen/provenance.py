"""Provenance: the steps that a candidate went through, read only where somebody asks.

Whoever decodes a candidate mostly adds a step and passes it on. So what came with an entry stays in
the form in which it came, and a further step costs as little after hundreds as after none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from stargen.codec import list_head, pack_bulk, pack_list_head, unpack_bulk
from stargen.errors import BadResult


@dataclass(frozen=True, slots=True)
class Provenance:
    """One step that a candidate went through."""

    calculator: str
    version: str
    job: str
    params_hash: str
    seed: int | None = None
    note: Mapping[str, Any] = field(default_factory=dict[str, Any])


class History(Sequence[Provenance]):
    """Steps, oldest first: those that came with an entry, and those that were added since.

    Parameters
    ----------
    packed : the list that came

    Raises
    ------
    ValueError : if `packed` is no list
    BadResult : on reading, if a step in it is none
    """

    __slots__ = ("_added", "_came", "_head_size", "_packed", "_steps")

    def __init__(self, packed: bytes, added: tuple[Provenance, ...] = ()) -> None:
        self._packed = packed
        self._came, self._head_size = list_head(packed)
        self._added = added
        self._steps: tuple[Provenance, ...] | None = None

    def and_(self, step: Provenance) -> History:
        """One step more."""
        return History(self._packed, (*self._added, step))

    def packed(self) -> bytes:
        """As one list."""
        if not self._added:
            return self._packed
        added = _packed(self._added)
        came = memoryview(self._packed)[self._head_size :]
        return b"".join((pack_list_head(len(self)), came, added[list_head(added)[1] :]))

    def _read(self) -> tuple[Provenance, ...]:
        if self._steps is None:
            try:
                came = (Provenance(*step[:6]) for step in unpack_bulk(self._packed))
                self._steps = (*came, *self._added)
            except (ValueError, TypeError) as error:
                raise BadResult(f"a step of the provenance is none: {error}") from error
        return self._steps

    def __len__(self) -> int:
        return self._came + len(self._added)

    @overload
    def __getitem__(self, index: int) -> Provenance: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Provenance]: ...
    def __getitem__(self, index: int | slice) -> Provenance | Sequence[Provenance]:
        return self._read()[index]

    def __eq__(self, other: object) -> bool:
        theirs = other._read() if isinstance(other, History) else other
        return self._read() == theirs

    __hash__ = None  # pyright: ignore[reportAssignmentType] - as what holds a mapping

    def __repr__(self) -> str:
        return repr(self._read())


def one_more(history: Sequence[Provenance], step: Provenance) -> Sequence[Provenance]:
    """The history and a further step."""
    return history.and_(step) if isinstance(history, History) else (*history, step)


def pack_history(history: Sequence[Provenance]) -> bytes:
    """A history as one list, the inverse of `History`.

    Raises
    ------
    TypeError : if a note cannot be written
    """
    return history.packed() if isinstance(history, History) else _packed(history)


def _packed(steps: Sequence[Provenance]) -> bytes:
    return pack_bulk(
        [(p.calculator, p.version, p.job, p.params_hash, p.seed, dict(p.note)) for p in steps]
    )
