"""Gallery: the newest candidates of a job, read from where the journal keeps them.

Only envelopes are read, only of candidates that are shown or compared, each of them once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from stargen.crystal import Candidate, Envelope, Scalar, decode_entry, envelope_of
from stargen.errors import BadResult, JournalCorrupt
from stargen.journal import read_entry
from stargen.journal.entries import EntryFiles
from stargen.model import Location
from stargen.tui.trail import Trail

NEWEST = 2_000
"""Candidates of one job that are compared."""

_FIRST_CHOICE = ("e_above_hull", "formation_energy", "energy")
"""Parts of the names of properties by which candidates are ranked unless told otherwise."""

_REST = 60.0
"""Parts of rest for one of reading, where candidates come faster than anybody can read."""


class Exhibit(NamedTuple):
    """A candidate's envelope, and where the rest of it lies."""

    location: Location
    envelope: Envelope


@dataclass(slots=True)
class Gallery:
    """Reads what is new in a list of locations; call `read` in a thread, one at a time."""

    journal: Path
    _known: dict[Location, Exhibit] = field(default_factory=dict[Location, Exhibit])

    def read(self, locations: Sequence[Location]) -> list[Exhibit]:
        """The envelopes there, in that order; entries that cannot be read are left out."""
        files = EntryFiles(self.journal)
        known: dict[Location, Exhibit] = {}
        try:
            for location in locations:
                exhibit = self._known.get(location)
                if exhibit is None:
                    try:
                        exhibit = Exhibit(location, envelope_of(files.read(location)))
                    except (JournalCorrupt, BadResult):
                        continue
                known[location] = exhibit
        finally:
            files.close()
        self._known = known
        return list(known.values())


def read_candidate(journal: Path, location: Location) -> Candidate:
    """The whole candidate; JournalCorrupt or BadResult if it is not there."""
    return decode_entry(read_entry(journal, location))


def properties(exhibits: Iterable[Exhibit]) -> list[str]:
    """Names of the properties that any of them has, in alphabetical order."""
    return sorted({name for exhibit in exhibits for name in exhibit.envelope.properties})


def first_choice(names: Sequence[str]) -> str | None:
    """What to rank by: an energy if there is one, else the first property."""
    for part in _FIRST_CHOICE:
        for name in names:
            if part in name:
                return name
    return names[0] if names else None


def ranked(exhibits: Iterable[Exhibit], name: str, *, reverse: bool) -> list[Exhibit]:
    """Sorted by a property or by `formula`, `atoms` or `id`; those without it come last."""
    present: list[tuple[Scalar, str, Exhibit]] = []
    absent: list[Exhibit] = []
    for exhibit in exhibits:
        value = value_of(exhibit.envelope, name)
        if value is None or value != value:
            absent.append(exhibit)
        else:
            present.append((value, exhibit.envelope.candidate_id, exhibit))
    present.sort(key=_order, reverse=reverse)
    return [exhibit for _, _, exhibit in present] + absent


def _order(row: tuple[Scalar, str, Exhibit]) -> tuple[bool, float, str, str]:
    value, candidate_id, _ = row
    if isinstance(value, str):
        return True, 0.0, value, candidate_id
    return False, float(value or 0.0), "", candidate_id


def value_of(envelope: Envelope, name: str) -> Scalar:
    """A property, or one of `id`, `formula` and `atoms`."""
    if name in envelope.properties:
        return envelope.properties[name]
    return {
        "id": envelope.candidate_id,
        "formula": envelope.formula,
        "atoms": envelope.n_atoms,
    }.get(name)


def shown(value: Scalar) -> str:
    """A property's value for a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e-3 or abs(value) >= 1e5 else f"{value:.4f}"
    return "-" if value is None else str(value)


class Showcase:
    """The newest candidates of one job, read again when there are others.

    Parameters
    ----------
    journal : where they lie
    job : which job; None for the last one in the campaign's order that has put some out
    """

    def __init__(self, journal: Path, job: int | None = None) -> None:
        self.job = job
        self.shown: int | None = None
        self.exhibits: list[Exhibit] = []
        self._gallery = Gallery(journal)
        self._read: tuple[int | None, Sequence[Location]] = (None, ())
        self._rests_until = 0.0

    def wanted(self, trail: Trail) -> list[Location] | None:
        """What is to be read; None if that has been read, or just now."""
        jobs = [job for job, rows in trail.outputs.items() if rows]
        job = self.job if self.job is not None else max(jobs, default=None)
        if job == self._read[0] and time.monotonic() < self._rests_until:
            return None
        locations = [] if job is None else trail.newest_outputs(job, NEWEST)
        if (job, locations) == self._read:
            return None
        self._read = (job, locations)
        self.shown = job
        return locations

    def read(self, locations: Sequence[Location]) -> list[Exhibit]:
        """In a thread, one at a time."""
        began = time.monotonic()
        exhibits = self._gallery.read(locations)
        ended = time.monotonic()
        self._rests_until = ended + _REST * (ended - began)
        return exhibits
