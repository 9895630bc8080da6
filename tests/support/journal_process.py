"""Processes that the journal's tests start, kill and squeeze: ``journal_process.py WHAT ...``.

Record number n says n and where its payload lies, which is ``make_payload(n)``: a reader that knows
nothing else can check everything.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

from stargen.clock import SystemClock
from stargen.codec import pack, unpack
from stargen.journal import Journal, RecordReader, read_entry
from stargen.model import Location


def make_payload(number: int) -> bytes:
    return b"%d " % number * (1 + number % 90)


def append(journal: Journal, number: int) -> None:
    location = journal.append_payload([make_payload(number)])
    assert journal.append(pack([number, *location])) == number


def check(folder: Path, journal: Journal | None, position: int, record: bytes) -> None:
    """The record is the one of its position, and its payload can be read."""
    number, *location = unpack(record)
    assert number == position
    data = journal.read(Location(*location)) if journal else read_entry(folder, Location(*location))
    assert data == make_payload(number)


async def write_until_killed(folder: Path, seed: int, point: str, times: int) -> None:
    """Check what is there; then write, and print each position once it is durable, until killed.

    If a point is named, the process kills itself when that is met for the given time.
    """
    rng = random.Random(seed)
    seen = 0

    def observe(name: str) -> None:
        nonlocal seen
        if name == point:
            seen += 1
            if seen == times:
                os.kill(os.getpid(), signal.SIGKILL)

    def tell(position: int) -> None:
        os.write(1, b"%d\n" % position)

    journal = Journal.open(
        folder, clock=SystemClock(), on_durable=tell, observer=observe, segment_bytes=20_000
    )
    for position, record in journal.recovered.records:
        check(folder, journal, position, record)
    tell(journal.recovered.position)
    while True:
        for _ in range(rng.choice([1, 1, 2, 30])):
            append(journal, journal.position + 1)
        journal.flush()
        await asyncio.sleep(rng.choice([0, 0, 0.001]))
        if journal.pending_bytes > 200_000:
            await journal.until_durable()
        if rng.random() < 0.02:
            await journal.snapshot(b"", 0)


async def write_all(folder: Path, count: int) -> None:
    """Write `count` records at full speed, in small segments."""
    journal = Journal.open(
        folder, clock=SystemClock(), on_durable=lambda _: None, segment_bytes=50_000
    )
    for number in range(1, count + 1):
        append(journal, number)
        if number % 7 == 0:
            journal.flush()
            await asyncio.sleep(0)
    await journal.close()


def read_all(folder: Path, count: int) -> None:
    """Follow a journal that is being written until there are `count` records; check every one."""
    reader = RecordReader(folder)
    while reader.position < count:
        for position, record in reader.read():
            check(folder, None, position, record)
    print(reader.position)


async def fill_disk(folder: Path) -> None:
    """Fill the disk under `folder` beside a journal, make room again, and check that it goes on."""
    told: list[bool] = []
    changed = asyncio.Event()

    def on_full(full: bool) -> None:
        told.append(full)
        changed.set()

    async def until_told() -> None:
        async with asyncio.timeout(20):
            await changed.wait()
        changed.clear()

    journal = Journal.open(
        folder / "journal", clock=SystemClock(), on_durable=lambda _: None, on_full=on_full
    )
    append(journal, 1)
    await journal.until_durable()
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        space = os.statvfs(folder)
        file.write(bytes((space.f_bavail - 4) * space.f_bsize))
    while not told:
        append(journal, journal.position + 1)
        journal.flush()
        await asyncio.sleep(0.0005)
    await until_told()
    stuck = journal.durable_position
    for number in range(journal.position + 1, journal.position + 200):
        append(journal, number)
        journal.flush()
    await asyncio.sleep(0.7)  # more than one attempt to write
    assert journal.full
    assert journal.durable_position == stuck < journal.position
    ballast.unlink()
    await until_told()
    await journal.until_durable()
    assert told == [True, False]
    await journal.close()
    journal = Journal.open(folder / "journal", clock=SystemClock(), on_durable=lambda _: None)
    assert journal.recovered.warnings == ()
    for position, record in journal.recovered.records:
        check(folder, journal, position, record)
    assert position > stuck + 199
    await journal.close()
    print("went on")


def main() -> None:
    what, folder, *rest = sys.argv[1:]
    if what == "write":
        seed, point, times = rest
        asyncio.run(write_until_killed(Path(folder), int(seed), point, int(times)))
    elif what == "write-all":
        asyncio.run(write_all(Path(folder), int(rest[0])))
    elif what == "read":
        read_all(Path(folder), int(rest[0]))
    elif what == "fill":
        asyncio.run(fill_disk(Path(folder)))


if __name__ == "__main__":
    main()
