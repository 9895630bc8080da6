"""What durability costs: `python benchmarks/journal.py`.

The journal against bare loops that write and fdatasync the same bytes, in the same run, on the same
disk (under benchmarks/results, or `--folder`). A record of 60 bytes comes with a payload of 500.
Everything that was written is read back and compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from stargen.clock import SystemClock
from stargen.journal import Journal, read_records, verify
from stargen.journal import journal as journal_module

RESULTS = Path(__file__).parent / "results" / "journal.json"
PAYLOAD = os.urandom(500)
TURN = 64
"""Records between two flushes under load: what a frame from an agent brings."""
BOUND = 4 * 2**20
"""Bytes that may wait for the disk before the writer waits too."""


def make_record(number):
    return b"%060d" % number


def percentiles(times_s):
    ordered = sorted(times_s)
    return {
        "p50_us": ordered[len(ordered) // 2] * 1e6,
        "p95_us": ordered[len(ordered) * 95 // 100] * 1e6,
    }


def open_journal(folder, on_durable=lambda _: None):
    return Journal.open(folder, clock=SystemClock(), on_durable=on_durable)


def check(folder, count):
    """All records are there, in order, and every checksum is right."""
    report = verify(folder)
    assert report.ok
    assert report.records == count
    for number, (position, record) in enumerate(read_records(folder)):
        assert position == number + 1
        assert record == make_record(number)
    assert position == count
    return report.bytes


# --- one record at a time -----------------------------------------------------------------------


def idle_bare(folder, count, pause_s):
    fd = os.open(folder / "bare", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    data, offset, times = make_record(0) + PAYLOAD, 0, []
    for _ in range(count):
        time.sleep(pause_s)
        started = time.perf_counter()
        os.pwrite(fd, data, offset)
        os.fdatasync(fd)
        times.append(time.perf_counter() - started)
        offset += len(data)
    os.close(fd)
    return times


async def idle_journal(folder, count, pause_s):
    times = []
    arrived = asyncio.Event()
    journal = open_journal(folder, lambda _: arrived.set())
    for number in range(count):
        await asyncio.sleep(pause_s)
        arrived.clear()
        started = time.perf_counter()
        journal.append_payload([PAYLOAD])
        journal.append(make_record(number))
        journal.flush()
        await arrived.wait()
        times.append(time.perf_counter() - started)
    await journal.close()
    check(folder, count)
    return times


def bench_idle(scratch, count, repeats, pause_s):
    """Append, and wait until it is durable."""
    times = {"bare write + fdatasync": [], "journal, as it chooses": [], "journal, thread only": []}
    inline_bytes = journal_module.INLINE_BYTES
    for _ in range(repeats):
        for name, collected in times.items():
            folder = Path(tempfile.mkdtemp(dir=scratch))
            if name.startswith("bare"):
                collected += idle_bare(folder, count, pause_s)
            else:
                journal_module.INLINE_BYTES = -1 if "thread" in name else inline_bytes
                collected += asyncio.run(idle_journal(folder, count, pause_s))
            shutil.rmtree(folder)
    journal_module.INLINE_BYTES = inline_bytes
    return {name: percentiles(collected) for name, collected in times.items()}


# --- many records -------------------------------------------------------------------------------


def loaded_bare(folder, count):
    """The same bytes in groups of TURN, each synced before the next is begun."""
    started, cpu = time.perf_counter(), time.process_time()
    fd = os.open(folder / "bare", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    offset = 0
    for first in range(0, count, TURN):
        data = b"".join(make_record(number) + PAYLOAD for number in range(first, first + TURN))
        os.pwrite(fd, data, offset)
        os.fdatasync(fd)
        offset += len(data)
    os.close(fd)
    wall = time.perf_counter() - started
    return {
        "records_per_s": count / wall,
        "groups": count / TURN,
        "cpu_us": (time.process_time() - cpu) / count * 1e6,
    }


async def loaded_journal(folder, count, pace_per_s):
    """Turns of TURN records, each flushed, as fast as the disk allows or at a pace."""
    waiting, latencies, groups = [], [], 0

    def on_durable(position):
        nonlocal groups, waiting
        now = time.perf_counter()
        groups += 1
        latencies.extend(now - at for last, at in waiting if last <= position)
        waiting = [turn for turn in waiting if turn[0] > position]

    journal = open_journal(folder, on_durable)
    started, cpu = time.perf_counter(), time.process_time()
    loop_cpu = inside = 0.0
    for first in range(0, count, TURN):
        thread = time.thread_time()
        for number in range(first, first + TURN):
            journal.append_payload([PAYLOAD])
            journal.append(make_record(number))
        journal.flush()
        inside += time.thread_time() - thread
        waiting.append((journal.position, time.perf_counter()))
        due_s = started + first / pace_per_s - time.perf_counter() if pace_per_s else 0.0
        await asyncio.sleep(max(due_s, 0.0))
        if journal.pending_bytes > BOUND:
            await journal.until_durable()
    await journal.until_durable()
    wall = time.perf_counter() - started
    cpu_us = (time.process_time() - cpu) / count * 1e6
    loop_cpu = inside / count * 1e6
    await journal.close()
    size = check(folder, count)
    return {
        "records_per_s": count / wall,
        "mb_per_s": size / wall / 1e6,
        "groups": groups,
        "cpu_us": cpu_us,
        "journal_calls_cpu_us": loop_cpu,
        **percentiles(latencies),
    }


def bench_loaded(scratch, count, repeats, pace_per_s):
    """Medians of the repeats, which are interleaved."""
    runs = {"bare, groups of 64": [], "journal, full speed": [], f"journal, {pace_per_s}/s": []}
    for _ in range(repeats):
        for name, collected in runs.items():
            folder = Path(tempfile.mkdtemp(dir=scratch))
            if name.startswith("bare"):
                collected.append(loaded_bare(folder, count))
            else:
                pace = pace_per_s if name.endswith("/s") else None
                collected.append(asyncio.run(loaded_journal(folder, count, pace)))
            shutil.rmtree(folder)
    return {
        name: {key: statistics.median(run[key] for run in collected) for key in collected[0]}
        for name, collected in runs.items()
    }


# --- coming back --------------------------------------------------------------------------------


async def bench_recovery(scratch, count):
    folder = Path(tempfile.mkdtemp(dir=scratch))
    journal = open_journal(folder)
    locations = []
    for number in range(count):
        locations.append(journal.append_payload([PAYLOAD]))
        journal.append(make_record(number))
        if number % 10_000 == 0:
            await journal.until_durable()
    await journal.close()
    started = time.perf_counter()
    journal = open_journal(folder)
    opened = time.perf_counter()
    assert sum(1 for _ in journal.recovered.records) == count
    replayed = time.perf_counter()
    assert all(journal.read(location) == PAYLOAD for location in locations)
    read = time.perf_counter()
    await journal.close()
    shutil.rmtree(folder)
    return {
        "records": count,
        "open_and_check_s": opened - started,
        "replay_s": replayed - opened,
        "read_entry_us": (read - replayed) / count * 1e6,
    }


def show(title, rows):
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    print(f"\n{title}\n{'':26}" + "".join(f"{column:>21}" for column in columns))
    for name, row in rows.items():
        cells = (f"{row[column]:21,.1f}" if column in row else f"{'':21}" for column in columns)
        print(f"{name:26}" + "".join(cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--folder", type=Path, default=RESULTS.parent, help="disk to measure on")
    options = parser.parse_args()
    scale = 10 if options.quick else 1
    RESULTS.parent.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=options.folder, prefix="journal-"))
    try:
        idle = bench_idle(scratch, 500 // scale, 3, 0.002)
        loaded = bench_loaded(scratch, 3200 // scale * TURN, 3, 50_000)
        recovery = asyncio.run(bench_recovery(scratch, 200_000 // scale))
    finally:
        shutil.rmtree(scratch)
    show("one record, 2 ms apart: from append to durable", idle)
    show(f"under load, flushed every {TURN} records", loaded)
    show("after a restart", {"tail": recovery})
    machine = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    results = {**machine, "idle": idle, "loaded": loaded, "recovery": recovery}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
