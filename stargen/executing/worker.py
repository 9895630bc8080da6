"""Worker: the agent's side of one process that runs calculators, or hosts external programs.

The process is spawned clean (no fork of the agent's memory), leads a session of its own, is pinned
to the cores it was granted and has its libraries' threads limited to as many. It lives on between
tasks. When it dies, by itself or because it had to be ended, that is an event like any other.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stargen.devices import gpus_here
from stargen.errors import NodeError, ProtocolError
from stargen.executing.board import Board
from stargen.executing.capacity import Grant
from stargen.executing.cgroups import MemoryGroups
from stargen.executing.staging import SharedPlace
from stargen.executing.threads import thread_limits
from stargen.messages import Checkpointed, DefineJob, Granted, Message, RunTasks, Shutdown, encode
from stargen.processes import end_session
from stargen.transport.greeting import Identity
from stargen.transport.link import Link
from stargen.transport.local import connect_socket

_START_S = 120.0
_LAST_WORDS_S = 1.0
_LEAVE_S = 10.0
_MOST_LOG_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WorkerKind:
    """What must be alike for a process to be used again.

    Parameters
    ----------
    programs : the job whose external programs it hosts; None for calculators
    cores : how many its libraries may use; 0 for a host, which leaves that to its programs
    gpus : the devices that it sees
    grace_s : of a host: how long a program may take over each way of being stopped
    """

    programs: int | None
    cores: int
    gpus: tuple[int, ...] = ()
    grace_s: float = 0.0

    @property
    def is_host(self) -> bool:
        return self.programs is not None


class Worker:
    """One process and its link.

    Parameters
    ----------
    number : tells it apart in logs
    kind : what it is for
    memory : where it is held to its memory; a host's programs are, and not it
    shared : where data lie that all workers of the node share
    on_messages : gets what it says, in encoded form
    on_end : told once, when the process and all that it started are gone; its return code
    """

    def __init__(
        self,
        number: int,
        kind: WorkerKind,
        *,
        folder: Path,
        environ: Mapping[str, str],
        pinned: bool,
        memory: MemoryGroups | None,
        shared: SharedPlace,
        on_messages: Callable[[Worker, list[bytes]], None],
        on_end: Callable[[Worker, int | None], None],
    ) -> None:
        self.number = number
        self.kind = kind
        self.cores: tuple[int, ...] = ()
        self.log = folder / f"worker-{number}.log"
        self.board = Board()
        self.jobs: dict[int, DefineJob] = {}
        self.idle_since: float | None = None
        self.rss_gib = 0.0
        self.was_useful = False
        self.ran_out_of_memory: bool | None = None
        """Whether the kernel has ended it, or a child of it, for its memory; None if unknown."""
        self._pinned = pinned
        self._granted: dict[int, Granted] = {}
        self._on_messages = on_messages
        self._on_end = on_end
        self._link: Link | None = None
        self._early: list[bytes] = []
        self._ending = False
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._socket = ours
        self._scope: asyncio.Timeout | None = None
        self._shared = shared
        self._spawn(theirs, folder, environ, memory)
        self._group = memory.group(f"worker-{self.pid}") if memory and not kind.is_host else None
        if self._group is not None:
            self._group.add(self.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def __repr__(self) -> str:
        return f"<worker {self.number} (process {self.pid})>"

    # --- its life ---------------------------------------------------------------------------------

    def _spawn(
        self,
        theirs: socket.socket,
        folder: Path,
        environ: Mapping[str, str],
        memory: MemoryGroups | None,
    ) -> None:
        command = [sys.executable, "-P", "-m", "stargen.executing.runner"]
        command += ["--link", str(theirs.fileno()), "--board", str(self.board.fd)]
        shared = self._shared
        command += ["--shared", str(shared.ram), str(shared.disk), str(shared.quota_gib)]
        if self.kind.programs is not None:
            command += ["--programs", "--grace-s", str(self.kind.grace_s)]
            if memory is not None:
                command += ["--memory-groups", str(memory.folder)]
        with theirs, self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=_environment(self.kind, environ),
                pass_fds=(theirs.fileno(), self.board.fd),
                start_new_session=True,
            )

    async def attend(self) -> None:
        """Pass on what it says until it ends; then make sure that nothing of it is left."""
        try:
            async with asyncio.timeout(None) as self._scope:
                self._link = await connect_socket(
                    self._socket,
                    Identity("agent"),
                    expects="worker",
                    peer=repr(self),
                    timeout_s=_START_S,
                )
                for payload in self._early:
                    self._link.send(payload)
                self._early.clear()
                await self._link.listen(partial(self._on_messages, self))
        except (NodeError, ProtocolError, TimeoutError):
            await self._bury()
        finally:
            if self._process.poll() is None:  # cancelled: the agent goes
                self.kill()

    def look(self) -> None:
        """Now and then: a dead process is noticed even if a child of its own holds the link open.

        What it printed is cut when there is too much of it.
        """
        scope = self._scope
        if scope is not None and scope.when() is None and self._process.poll() is not None:
            scope.reschedule(asyncio.get_running_loop().time() + _LAST_WORDS_S)
        with suppress(OSError):
            if self.log.stat().st_size > _MOST_LOG_BYTES:
                os.truncate(self.log, 0)

    async def _bury(self) -> None:
        """The link is gone: so must the process be, and all that it started."""
        self._ending, self._scope = True, None
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, _LAST_WORDS_S)
        code = self._process.poll()
        await asyncio.to_thread(end_session, self.pid, grace_s=0.0)
        self._process.wait()
        if self._group is not None:
            self.ran_out_of_memory = self._group.kills() > 0
            await asyncio.to_thread(self._group.remove)
        self._on_end(self, code)
        self.board.close()
        self.log.unlink(missing_ok=True)

    def leave(self) -> None:
        """Ask it to go; what it runs is to be stopped. It is killed if it does not listen."""
        if not self._ending:
            self._ending = True
            self.send(Shutdown(""))
            asyncio.get_running_loop().call_later(_LEAVE_S, self._kill_if_there)

    def _kill_if_there(self) -> None:
        if self._process.poll() is None:
            self.kill()

    def terminate(self) -> None:
        """SIGTERM to all of its session."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to all of its group; `_bury` proves the end."""
        self._signal(signal.SIGKILL)

    @property
    def greeted(self) -> bool:
        """True if it came so far as to answer the agent."""
        return self._link is not None

    @property
    def usable(self) -> bool:
        """False once it is going."""
        return not self._ending

    def _signal(self, number: signal.Signals) -> None:
        self._ending = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    # --- what it is told --------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Say something now; kept until the process has answered the greeting."""
        self._post(message)
        self.flush()

    def _post(self, message: Message) -> None:
        """Queue a message for the next `flush`."""
        payload = encode(message)
        if self._link is None:
            self._early.append(payload)
        else:
            self._link.post(payload)

    def define(self, job: DefineJob) -> None:
        """Tell it of a job, once, with its next tasks."""
        if self.jobs.get(job.job) != job:
            self.jobs[job.job] = job
            self._post(job)

    def grant(self, slot: int, grant: Grant, resources: list[object], folder: Path) -> None:
        """What tasks on `slot` may use from now on; told with the next of them."""
        gpus = [index for index, _ in grant.gpus]
        cores = list(grant.cores) if self._pinned else []
        granted = Granted(slot, resources, cores, gpus, str(folder))
        if self._granted.get(slot) != granted:
            self._granted[slot] = granted
            self._post(granted)
        if self._pinned and self.kind.programs is None and grant.cores != self.cores:
            self.cores = grant.cores
            self._pin(grant.cores)
        if self._group is not None:
            self._group.hold_to(grant.resources.memory_gib)

    def run(self, run: RunTasks, kept: Sequence[Checkpointed]) -> None:
        """Tasks for one slot, and the checkpoints that earlier attempts at them left."""
        for checkpoint in kept:
            self._post(checkpoint)
        self._post(run)

    def flush(self) -> None:
        """Write what it is to be told, at once."""
        if self._link is not None:
            self._link.flush()

    def _pin(self, cores: tuple[int, ...]) -> None:
        """Every thread it has; those to come inherit from the one that makes them."""
        with suppress(OSError):  # it may be ending
            for thread in os.listdir(f"/proc/{self.pid}/task"):  # noqa: PTH208 - names are enough
                os.sched_setaffinity(int(thread), cores)


def _environment(kind: WorkerKind, environ: Mapping[str, str]) -> dict[str, str]:
    env = dict(environ)
    if kind.programs is None:
        env |= thread_limits(kind.cores)
        env |= gpus_here(environ).shown(kind.gpus)
    return env
