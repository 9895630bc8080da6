"""A master with nothing in it: what Python, msgpack, a socket and fsync cost at the least.

One dict entry a task, frames of 64 tasks over a UNIX socket to one agent process, 16 frames under
way, results of 500 bytes with their checksum in a journal that a thread writes and syncs, a result
counted only when it is synced. No dependencies, resources, retries, sessions or campaign file.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import queue
import resource
import socket
import threading
import time
from pathlib import Path
from zlib import crc32

import msgpack

TASKS_A_FRAME = 64
FRAMES_UNDER_WAY = 16
PAYLOAD = bytes(500)


def skeleton(folder: Path, tasks: int) -> dict[str, float]:
    """Tasks a second, and microseconds of CPU for each in the master's process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_master, args=(theirs, str(folder), tasks))
    process.start()
    took_s, cpu_s = ours.recv()
    process.join()
    return {"per_s": tasks / took_s, "cpu_us": cpu_s / tasks * 1e6}


def _master(pipe, folder: str, tasks: int) -> None:
    path = Path(folder) / "skeleton"
    ours, theirs = socket.socketpair()
    agent = multiprocessing.get_context("fork").Process(target=_agent, args=(theirs, ours))
    agent.start()
    theirs.close()
    began, cpu = time.perf_counter(), _cpu_s()
    asyncio.run(_Master(tasks, path).run(ours))
    pipe.send((time.perf_counter() - began, _cpu_s() - cpu))
    agent.join()
    _verify(path, tasks)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _agent(connection: socket.socket, other_end: socket.socket) -> None:
    """Answers each frame of ordinals with a frame of results."""
    other_end.close()
    unpacker = msgpack.Unpacker()
    while data := connection.recv(1 << 20):
        unpacker.feed(data)
        for ordinals in unpacker:
            connection.sendall(msgpack.packb([(ordinal, PAYLOAD) for ordinal in ordinals]))


class _Master(asyncio.Protocol):
    def __init__(self, tasks: int, path: Path) -> None:
        self.tasks = tasks
        self.state: dict[int, str] = {}
        self.next = 0
        self.durable = 0
        self.unpacker = msgpack.Unpacker(max_buffer_size=0)
        self.buffer = bytearray()
        self.pending = 0
        self.groups: queue.SimpleQueue = queue.SimpleQueue()
        self.writing = False
        self.path = path

    async def run(self, connection: socket.socket) -> None:
        self.loop = asyncio.get_running_loop()
        self.done = asyncio.Event()
        self.thread = threading.Thread(target=self.journal)
        self.thread.start()
        connection.setblocking(False)
        self.transport, _ = await self.loop.create_connection(lambda: self, sock=connection)
        for _ in range(FRAMES_UNDER_WAY):
            self.send()
        await self.done.wait()
        self.transport.close()
        self.groups.put(None)
        self.thread.join()

    def send(self) -> None:
        ordinals = range(self.next, min(self.next + TASKS_A_FRAME, self.tasks))
        if ordinals:
            self.next = ordinals.stop
            self.state.update(dict.fromkeys(ordinals, "sent"))
            self.transport.write(msgpack.packb(list(ordinals)))

    def data_received(self, data: bytes) -> None:
        self.unpacker.feed(data)
        for results in self.unpacker:
            for ordinal, payload in results:
                assert self.state[ordinal] == "sent"
                self.state[ordinal] = "done"
                self.buffer += ordinal.to_bytes(8, "little") + crc32(payload).to_bytes(4, "little")
                self.buffer += payload
            self.pending += len(results)
            self.send()
        self.flush()

    def flush(self) -> None:
        if not self.writing and self.pending:
            self.writing = True
            self.groups.put((self.buffer, self.pending))
            self.buffer, self.pending = bytearray(), 0

    def synced(self, count: int) -> None:
        self.durable += count
        self.writing = False
        self.flush()
        if self.durable == self.tasks:
            self.done.set()

    def journal(self) -> None:
        with self.path.open("wb", buffering=0) as file:
            while (group := self.groups.get()) is not None:
                file.write(group[0])
                os.fdatasync(file.fileno())
                self.loop.call_soon_threadsafe(self.synced, group[1])


def _verify(path: Path, tasks: int) -> None:
    data = path.read_bytes()
    size = 12 + len(PAYLOAD)
    assert len(data) == tasks * size
    seen = {int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), size)}
    assert seen == set(range(tasks))
    path.unlink()
