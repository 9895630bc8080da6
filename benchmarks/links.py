"""What a link costs: two processes over a UNIX socket, with resumption as between master and agent
and without as between agent and worker, beside a bare socket in the same run.

    python benchmarks/links.py
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from stargen.errors import LinkLost
from stargen.transport.greeting import Identity
from stargen.transport.link import Link
from stargen.transport.local import connect_unix, serve_unix
from stargen.transport.session import Limits

ROUNDS = 3000
SIZES = ((100, 100_000), (500, 100_000), (32_000, 10_000), (1_000_000, 300))
KINDS = {"resumable": Limits(), "not resumable": Limits(resume_s=0.0)}
PING, END = b"ping", b"end"


def echo(path: Path, limits: Limits) -> None:
    """The other side: answers pings, and the end of a flood."""

    async def main() -> None:
        met: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        me = Identity("agent", "", "echo")
        server = await serve_unix(path, me, met.set_result, expects="master", limits=limits)
        link = await met
        with suppress(LinkLost):
            while True:
                for message in await link.receive():
                    if message in (PING, END):
                        link.send(message)
        server.close()

    asyncio.run(main())


async def measure(path: Path, limits: Limits) -> dict:
    for _ in range(100):
        with suppress(LinkLost):
            me = Identity("master", "", "bench")
            link = await connect_unix(path, me, expects="agent", limits=limits)
            break
        await asyncio.sleep(0.05)
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        link.send(PING)
        await link.receive()
        times.append(time.perf_counter() - begun)
    result = {"round_trip_us": statistics.median(times) * 1e6}
    for size, count in SIZES:
        payload = bytes(size)
        begun, cpu = time.perf_counter(), time.process_time()
        for n in range(count):
            link.send(payload)
            if n % 200 == 0:
                await link.drain()
        link.send(END)
        await link.receive()
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
        result[f"{size} bytes"] = {
            "messages_per_s": count / wall,
            "mb_per_s": count * size / wall / 1e6,
            "cpu_us": cpu / count * 1e6,
        }
    await link.close()
    return result


def bare_round_trip_us() -> float:
    """Two processes and a socket pair, four bytes each way, nothing else."""
    ours, theirs = socket.socketpair()

    def answer() -> None:
        ours.close()
        while data := theirs.recv(4):
            theirs.send(data)

    child = multiprocessing.get_context("fork").Process(target=answer, daemon=True)
    child.start()
    theirs.close()
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        ours.send(PING)
        ours.recv(4)
        times.append(time.perf_counter() - begun)
    ours.close()
    child.join()
    return statistics.median(times) * 1e6


def main() -> None:
    results: dict = {"bare_round_trip_us": bare_round_trip_us()}
    print(f"bare socket pair: round trip {results['bare_round_trip_us']:.0f} us")
    for kind, limits in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "socket"
            child = multiprocessing.get_context("fork").Process(target=echo, args=(path, limits))
            child.start()
            result = results[kind] = asyncio.run(measure(path, limits))
            child.join()
        print(f"{kind}: round trip {result['round_trip_us']:.0f} us")
        for size, _ in SIZES:
            row = result[f"{size} bytes"]
            print(
                f"  {size:8} bytes {row['messages_per_s']:9.0f} messages/s "
                f"{row['mb_per_s']:6.0f} MB/s {row['cpu_us']:7.2f} us of the sender's CPU each"
            )
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / "links.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
