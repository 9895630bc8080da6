"""Structures from files, numbered by file name and place in the file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from os.path import commonpath
from pathlib import Path

import numpy as np

from stargen.calculators.contract import Context
from stargen.crystal import Candidate, Drop, Scalar
from stargen.errors import UserTaskError
from stargen_structures.entries import Disordered, Entry, entries
from stargen_structures.files import structure_files
from stargen_structures.params import ReadParams


class Cursor:
    """A place in the sequence of all entries; going back means starting over."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._root = Path(commonpath([path.parent for path in files]))
        self._rewind()

    def seek(self, position: int) -> None:
        """Stand before entry `position`, or at the end if there are fewer."""
        if position < self.position:
            self._rewind()
        while self.position < position and self.take() is not None:
            pass

    def take(self) -> Entry | None:
        """The next entry, or None at the end."""
        entry = next(self._rest, None)
        if entry is not None:
            self.position += 1
        return entry

    def _rewind(self) -> None:
        self.position = 0
        self._rest = chain.from_iterable(
            entries(path, path.relative_to(self._root).as_posix()) for path in self._files
        )


class Read:
    """What cannot be read is a verdict on that entry and never the end of a batch.

    Each worker finds its place from the beginning of the files once and then only goes forward.
    """

    def open(self, context: Context) -> None:
        params: ReadParams = context.params
        self._columns = {name: property_name(name) for name in params.columns}
        try:
            self._cursor = Cursor(structure_files(context.input_file(params.path)))
        except ValueError as error:
            raise UserTaskError(str(error)) from error

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate | Drop]:
        self._cursor.seek(context.ordinals.start)
        for ordinal in context.ordinals:
            entry = self._cursor.take()
            if entry is None:
                context.end_of_source(self._cursor.position)
                return
            yield self._born(ordinal, entry, context)

    def close(self) -> None:
        """The open file goes with the cursor."""
        del self._cursor

    def _born(self, ordinal: int, entry: Entry, context: Context) -> Candidate | Drop:
        try:
            crystal, fields = entry.read()
        except Disordered:
            return context.stillborn(ordinal, "disordered structure", entry.where)
        except Exception as error:  # a parser may raise anything on a file that it cannot read
            return context.stillborn(ordinal, "unreadable structure", f"{entry.where}: {error}")
        kept = {name: scalar(fields.get(column)) for column, name in self._columns.items()}
        return context.birth(ordinal, crystal, **kept)


def property_name(column: str) -> str:
    """A column's name in the form that `where` and the database understand."""
    return re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")


def scalar(value: object) -> Scalar:
    """A number where the value is one, else a text; None where it is empty or not finite."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        value = _number(value.strip())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str) and value != "" else None


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
