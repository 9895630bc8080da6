"""The facts behind the journal's form (docs/adr/0003): `python benchmarks/journal_sync.py`.

What a sync costs with one file and with two, and how long a thread that syncs waits for the
interpreter beside a busy event loop. Bare system calls; no part of the journal is used.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "journal_sync.json"
RECORD, PAYLOAD = os.urandom(100), os.urandom(500)


def summary(times_s):
    ordered = sorted(times_s)
    return {
        "p50_us": ordered[len(ordered) // 2] * 1e6,
        "p95_us": ordered[len(ordered) * 95 // 100] * 1e6,
        "max_us": ordered[-1] * 1e6,
    }


class Appender:
    """A new file that is appended to and synced."""

    def __init__(self, folder, *, prepared=0):
        self.fd = os.open(Path(tempfile.mkdtemp(dir=folder)) / "f", os.O_RDWR | os.O_CREAT)
        if prepared:
            os.posix_fallocate(self.fd, 0, prepared)
            os.fsync(self.fd)
        self.offset = 0

    def commit(self, data):
        self.offset += os.pwrite(self.fd, data, self.offset)
        os.fdatasync(self.fd)


def bench_files(folder, count, repeats):
    """Record and payload durable, in order: in one file, in two, and in one with room prepared."""
    times = {"one file": [], "one file, space allocated ahead": [], "two files": []}
    for _ in range(repeats):
        one, ahead = Appender(folder), Appender(folder, prepared=count * 600)
        packs, log = Appender(folder), Appender(folder)
        for _ in range(count):
            for name, parts in (
                ("one file", [(one, PAYLOAD + RECORD)]),
                ("one file, space allocated ahead", [(ahead, PAYLOAD + RECORD)]),
                ("two files", [(packs, PAYLOAD), (log, RECORD)]),
            ):
                started = time.perf_counter()
                for file, data in parts:
                    file.commit(data)
                times[name].append(time.perf_counter() - started)
        for file in (one, ahead, packs, log):
            os.close(file.fd)
    return {name: summary(collected) for name, collected in times.items()}


async def commits_beside_a_busy_loop(folder, turn_s, count, limit_s):
    """Times from a thread's being given data to the loop's being told, while the loop works."""
    loop = asyncio.get_running_loop()
    file, groups, times = Appender(folder), queue.SimpleQueue(), []

    def commit_all():
        while (answer := groups.get()) is not None:
            file.commit(RECORD)
            loop.call_soon_threadsafe(answer.set_result, None)

    async def work():
        while True:
            until = time.perf_counter() + turn_s
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0)

    thread = threading.Thread(target=commit_all)
    thread.start()
    worker = asyncio.create_task(work()) if turn_s else None
    begun = time.perf_counter()
    while len(times) < count and time.perf_counter() < begun + limit_s:
        answer = loop.create_future()
        started = time.perf_counter()
        groups.put(answer)
        await answer
        times.append(time.perf_counter() - started)
    if worker is not None:
        worker.cancel()
    groups.put(None)
    thread.join()
    os.close(file.fd)
    return summary(times)


def bench_starvation(folder, count, limit_s):
    rows = {}
    before = sys.getswitchinterval()
    for turn_ms in (0.0, 0.3, 1.0):
        for switch_s in (5e-3, 1e-4):
            sys.setswitchinterval(switch_s)
            name = f"loop turns of {turn_ms} ms, switch interval {switch_s * 1e3:g} ms"
            measured = commits_beside_a_busy_loop(folder, turn_ms / 1e3, count, limit_s)
            rows[name] = asyncio.run(measured)
    sys.setswitchinterval(before)
    return rows


def show(title, rows):
    print(f"\n{title}\n{'':50}{'p50_us':>12}{'p95_us':>12}{'max_us':>14}")
    for name, row in rows.items():
        print(f"{name:50}{row['p50_us']:12,.0f}{row['p95_us']:12,.0f}{row['max_us']:14,.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--folder", type=Path, default=RESULTS.parent, help="disk to measure on")
    options = parser.parse_args()
    scale = 10 if options.quick else 1
    RESULTS.parent.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=options.folder, prefix="journal-sync-"))
    try:
        files = bench_files(folder, 300 // scale, 3)
        thread = bench_starvation(folder, 500 // scale, 15 / scale)
    finally:
        shutil.rmtree(folder)
    show("a record and its payload made durable", files)
    show("one commit at a time in a thread, beside a busy event loop", thread)
    RESULTS.write_text(json.dumps({"files": files, "thread": thread}, indent=2) + "\n")


if __name__ == "__main__":
    main()
