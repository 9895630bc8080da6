"""A sink at work, in a process of its own: ``python -m stargen.master.sink_process``.

It follows the journal's files from where the sink's own data end, never beyond what the master
calls durable, and writes batches. The master says on standard input how far the journal is durable,
one number a line; the end of that input means: write what is durable, and go. Standard output says
how far the sink is, as ``{"stored": position}``, and what went wrong, as ``{"problem": text}``,
with ``"refused": true`` if the store is another run's.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from stargen.calculators.contract import Arrived, Dropped, Quarantined, Sink, SinkItem
from stargen.calculators.registry import Registry
from stargen.crystal import decode_drops, envelope_of
from stargen.errors import JournalError, StoreRefused
from stargen.journal import RecordReader
from stargen.journal.entries import EntryFiles
from stargen.master.follower import Aside, Block, Follower, Word
from stargen.model import Location
from stargen.records import decode

BATCH_ITEMS = 2000
BATCH_BYTES = 16 * 2**20

Observer = Callable[[str], None]


class Feeder:
    """Brings a sink's store up to the journal.

    Parameters
    ----------
    journal : the journal's folder
    jobs, selects : see `Follower`
    stored : told the position after each write
    observer : told "before-commit" and "after-commit", for tests that die there
    """

    def __init__(
        self,
        sink: Sink,
        journal: Path,
        jobs: Mapping[str, Sequence[str]],
        selects: Sequence[str],
        *,
        stored: Callable[[int], None],
        observer: Observer = lambda point: None,
    ) -> None:
        self._sink = sink
        self._jobs = list(jobs)
        self._position = sink.position()
        # Only selects speak of what lies before the record at hand.
        self._reader = RecordReader(journal, 0 if selects else self._position)
        self._entries = EntryFiles(journal)
        self._follower = Follower(jobs, selects)
        self._stored = stored
        self._observe = observer
        stored(self._position)

    def catch_up(self, durable: int) -> None:
        """Write everything up to position `durable`, in batches of whole records."""
        if self._position > durable:
            raise JournalError(
                f"the store holds position {self._position}, but the journal ends at {durable}: an "
                "older copy of it was put back; delete the store, and it is made from this one"
            )
        items: list[SinkItem] = []
        size = 0
        position = self._position
        for position, body in self._reader.read(durable):
            words = self._follower.follow(decode(body))
            if position <= self._position:
                continue
            for word in words:
                for item, bytes_ in self._items(word):
                    items.append(item)
                    size += bytes_
            if len(items) >= BATCH_ITEMS or size >= BATCH_BYTES:
                self._write(items, position)
                items, size = [], 0
        if position > self._position:
            self._write(items, position)

    def _write(self, items: list[SinkItem], position: int) -> None:
        self._observe("before-commit")
        self._sink.write(items, position)
        self._observe("after-commit")
        self._position = position
        self._stored(position)

    def _items(self, word: Word) -> Iterator[tuple[SinkItem, int]]:
        """What the sink hears, with the bytes that it takes."""
        job = self._jobs[word.job]
        if isinstance(word, Block):
            yield from self._block(job, word)
        elif isinstance(word, Aside):
            name = f"{job}/{word.position}"
            if word.location is not None:
                name = envelope_of(self._entries.read(word.location)).candidate_id
            yield Quarantined(job, name, word.reason), len(name)
        else:
            entry = self._entries.read(word.location)
            yield Arrived(job, entry), len(entry)

    def _block(self, job: str, block: Block) -> Iterator[tuple[SinkItem, int]]:
        size = sum(block.sizes) + block.drops_size
        if not size:
            return
        data = self._entries.read(Location(block.segment, block.offset, size))
        at = 0
        for length in block.sizes:
            yield Arrived(job, data[at : at + length]), length
            at += length
        for drop in decode_drops(data[at:]):
            yield Dropped(job, drop), 100


def _commands(source: int) -> Iterator[int]:
    """The newest durable position each time there is one; ends with the input."""
    text, newest = b"", None
    while True:
        data = os.read(source, 65536)
        text += data
        *lines, text = text.split(b"\n")
        newest = int(lines[-1]) if lines else newest
        if newest is not None and not (data and select.select([source], [], [], 0)[0]):
            yield newest
            newest = None
        if not data:
            return


def _say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None, observer: Observer = lambda point: None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sink", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--journal", required=True, type=Path)
    parser.add_argument("--campaign", required=True)
    parser.add_argument("--run-key", required=True)
    parser.add_argument("--jobs", required=True, type=json.loads)
    parser.add_argument("--selects", default=[], type=json.loads)
    options = parser.parse_args(argv)
    try:
        factory = Registry.installed().load("sinks", options.sink)
        sink: Sink = factory(options.url, options.campaign, options.jobs, options.run_key)
        feeder = Feeder(
            sink,
            options.journal,
            options.jobs,
            options.selects,
            stored=lambda position: _say(stored=position),
            observer=observer,
        )
        for durable in _commands(sys.stdin.fileno()):
            feeder.catch_up(durable)
        sink.close()
    except StoreRefused as error:
        _say(problem=str(error), refused=True)
        return 1
    except Exception as error:  # whatever it is, the master shows it and tries again
        _say(problem=f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
