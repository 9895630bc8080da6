"""A real agent process, and a master that does as a test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from support.crystals import candidate

from stargen.crystal import encode_entry
from stargen.errors import LinkLost
from stargen.messages import (
    AckResults,
    Attach,
    AttemptRef,
    DefineJob,
    GaveBack,
    Goodbye,
    Inventory,
    Load,
    Look,
    RunTasks,
    Settle,
    StepDef,
    TaskOrder,
    TasksDone,
    TasksFailed,
    decode,
    encode,
)
from stargen.model import Resources
from stargen.processes import end_marked, end_session
from stargen.scheduling.nodelist import resources_form
from stargen.transport.greeting import Identity
from stargen.transport.local import connect_unix

MISCHIEF = str(Path(__file__).with_name("mischief"))
"""A plugin that is found through PYTHONPATH."""


class AgentProcess:
    """`with AgentProcess(tmp_path) as agent:`; afterwards nothing of it is left.

    Parameters
    ----------
    arguments : more of its command line
    module : what to run instead of the agent itself
    """

    def __init__(self, folder: Path, *arguments: str, module="stargen.executing.agent", env=None):
        self.folder = folder
        self.socket = folder / "a.sock"
        self.state = folder / "run" / "agent-here"
        self.log = folder / "agent.log"
        self._arguments = [
            *("--campaign-folder", str(folder), "--socket", str(self.socket), "--node", "here"),
            *("--scratch", str(folder / "local"), "--grace-s", "0.5"),
            *arguments,
        ]
        self._module = module
        path = os.pathsep.join([MISCHIEF, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self._env = {**os.environ, "PYTHONPATH": path, **(env or {})}

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self._module, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._env,
            )
        return self

    @property
    def identity(self) -> dict:
        return json.loads((self.state / "agent.json").read_text())

    def stop(self, timeout_s=10):
        """SIGTERM; its exit code."""
        self.process.terminate()
        return self.process.wait(timeout_s)

    def kill(self):
        """kill -9 of the agent alone."""
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        (self.folder / "run").mkdir(parents=True, exist_ok=True)
        return self.start()

    def __exit__(self, *error):
        end_session(self.process.pid, grace_s=0)
        self.process.wait()
        with contextlib.suppress(OSError):
            end_marked(f"{self.identity['agent_id']}.")


class ScriptedMaster:
    """The other end of an agent's link: sends what it is told to, keeps what comes."""

    def __init__(self, agent: AgentProcess, epoch: int = 1, name: str = "host:1"):
        self.agent = agent
        self.epoch = epoch
        self.name = name
        self.n = 0
        self.done = {}
        self.faults = {}
        self.given_back = {}
        self.loads = []
        self.goodbye = None
        self.acknowledges = True
        self._changed = asyncio.Event()

    async def connect(self, *, settle=True, takeover=False, lease_s=30.0):
        deadline = time.monotonic() + 20
        while True:
            try:
                self.link = await connect_unix(
                    self.agent.socket, Identity("master", name=self.name), expects="agent"
                )
                break
            except LinkLost:
                if time.monotonic() > deadline or self.agent.process.poll() is not None:
                    raise
                await asyncio.sleep(0.02)
        self.link.send(encode(Attach("campaign", self.epoch, self.name, lease_s, takeover)))
        first, *rest = await self.link.receive()
        self.inventory = decode(first)
        if isinstance(self.inventory, Goodbye):
            return self
        assert isinstance(self.inventory, Inventory)
        self._take(rest)
        self._reader = asyncio.create_task(self._read())
        if settle:
            self.settle(keep=self.inventory.running, deliver=self.inventory.spooled)
        return self

    def settle(self, keep=(), cancel=(), deliver=()):
        self.send(Settle(list(keep), list(cancel), list(deliver)))
        self.send(Look(1.0, 3600.0, closely=True))

    async def close(self):
        self._reader.cancel()
        await asyncio.wait([self._reader])
        await self.link.close("test over")

    async def __aenter__(self):
        return await self.connect()

    async def __aexit__(self, *error):
        await self.close()

    # --- orders -----------------------------------------------------------------------------------

    def send(self, message):
        self.link.send(encode(message))

    def define(self, *uses, job=0, shape="map", **more):
        """Each of `uses` is a name, or (name, parameters)."""
        steps = [StepDef(u, {}) if isinstance(u, str) else StepDef(*u) for u in uses]
        self.send(
            DefineJob(
                job,
                more.pop("name", f"job{job}"),
                shape,
                steps,
                more.pop("seed", 1),
                {},
                campaign_folder=str(self.agent.folder),
                input_folder=str(self.agent.folder),
                **more,
            )
        )

    def run(self, count=1, *, job=0, first=0, per_task=1, entries=True, priority=0, **resources):
        """Send `count` tasks; returns their names."""
        orders = []
        for ordinal in range(first, first + count):
            self.n += 1
            lo = ordinal * per_task
            mine = [make_entry(i) for i in range(lo, lo + per_task)] if entries else []
            orders.append(TaskOrder(ordinal, self.n, lo, lo + per_task, mine, []))
        self.send(RunTasks(job, resources_form(Resources(**resources)), priority, orders))
        return [AttemptRef(job, o.ordinal, self.epoch, o.n) for o in orders]

    # --- what comes -------------------------------------------------------------------------------

    @property
    def ended(self):
        return self.done.keys() | self.faults.keys() | self.given_back.keys()

    async def until(self, condition, timeout_s=15):
        """Wait until `condition()` holds."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def outcomes(self, refs, timeout_s=15):
        """Wait until all of `refs` have ended."""
        wanted = set(refs)
        await self.until(lambda: wanted <= self.ended, timeout_s)

    async def _read(self):
        with contextlib.suppress(LinkLost):
            while True:
                self._take(await self.link.receive())
        self._changed.set()

    def _take(self, payloads):
        for payload in payloads:
            match decode(payload):
                case TasksDone(job, rows):
                    refs = [AttemptRef(job, row.ordinal, row.epoch, row.n) for row in rows]
                    self.done.update(zip(refs, rows, strict=True))
                    self._acknowledge(refs)
                case TasksFailed(rows):
                    refs = [AttemptRef(f.job, f.ordinal, f.epoch, f.n) for f in rows]
                    self.faults.update(zip(refs, rows, strict=True))
                    self._acknowledge(refs)
                case GaveBack(refs, reason):
                    self.given_back.update(dict.fromkeys(refs, reason))
                case Load() as load:
                    self.loads.append(load)
                case Goodbye(reason):
                    self.goodbye = reason
        self._changed.set()

    def _acknowledge(self, refs):
        if self.acknowledges:
            self.send(AckResults(refs))


def make_entry(number: int) -> bytes:
    return encode_entry(candidate(f"make/{number}"))
