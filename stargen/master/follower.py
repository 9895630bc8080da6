"""Follower: records in, what a sink must hear of them out; pure, and as small as it can be.

A finished task says where its entries lie. A select passes candidates on by their place in the
stream before it, so for streams that a select reads the places are kept until it has looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stargen.model import Location
from stargen.records import (
    CandidateQuarantined,
    Record,
    Routed,
    Selected,
    TasksFinished,
)
from stargen.scheduling.streams import Stream


class Block(NamedTuple):
    """What one task of `job` put out: entries of these sizes, and then drops, in one piece."""

    job: int
    segment: int
    offset: int
    sizes: list[int]
    drops_size: int


class Passed(NamedTuple):
    """A candidate that the select `job` lets through."""

    job: int
    location: Location


class Aside(NamedTuple):
    """A candidate set aside; without an entry it is ordinal `position` of a source."""

    job: int
    location: Location | None
    position: int
    reason: str


Word = Block | Passed | Aside


@dataclass(slots=True)
class _Reader:
    """How far a select has looked into one of its inputs; `ranks`: it chooses at the end."""

    seen: int = 0
    ranks: bool = False


class Follower:
    """Give it every record from the first on; it says what is in them for a sink.

    Parameters
    ----------
    jobs : each job's name with the names of its inputs, in the order of their numbers, as the
        campaign stands now: a select may have been added after what it reads was made
    selects : names of the jobs that are selects
    """

    def __init__(self, jobs: Mapping[str, Sequence[str]], selects: Iterable[str]) -> None:
        numbers = {name: number for number, name in enumerate(jobs)}
        self._inputs = [[numbers[name] for name in inputs] for inputs in jobs.values()]
        self._selects = {numbers[name] for name in selects}
        self._streams: dict[int, Stream] = {}
        self._readers: dict[int, dict[int, _Reader]] = {}
        for select in sorted(self._selects):
            for upstream in self._inputs[select]:
                self._streams.setdefault(upstream, Stream())
                self._readers.setdefault(upstream, {})[select] = _Reader()

    def follow(self, record: Record) -> list[Word]:
        if isinstance(record, TasksFinished):
            return self._finished(record)
        if isinstance(record, Routed):
            return self._routed(record)
        if isinstance(record, Selected):
            return [self._pass(record.job, row.input, row.position) for row in record.rows]
        if isinstance(record, CandidateQuarantined):
            where = Location(*record.location) if record.location else None
            return [Aside(record.job, where, record.position, record.reason)]
        return []

    def _finished(self, record: TasksFinished) -> list[Word]:
        stream = self._streams.get(record.job)
        if stream is not None:
            for row in record.rows:
                stream.extend(row.segment, row.offset, row.sizes)
        return [
            Block(record.job, row.segment, row.offset, row.sizes, row.drops_size)
            for row in record.rows
        ]

    def _routed(self, record: Routed) -> list[Word]:
        if record.job not in self._selects:
            return []
        words: list[Word] = [
            self._pass(record.job, record.input, record.lo + i)
            for i, lane in enumerate(record.lanes)
            if lane >= 0
        ]
        upstream = self._inputs[record.job][record.input]
        reader = self._readers[upstream][record.job]
        reader.seen, reader.ranks = record.lo + len(record.lanes), bool(record.ranks)
        if not any(each.ranks for each in self._readers[upstream].values()):
            seen = min(each.seen for each in self._readers[upstream].values())
            self._streams[upstream].forget_below(seen)
        return words

    def _pass(self, select: int, input_: int, position: int) -> Passed:
        location = self._streams[self._inputs[select][input_]].location(position)
        if select in self._streams:
            self._streams[select].append(location)
        return Passed(select, location)
