"""A campaign over a bad network: production scheduler, sessions, messages and task buffers.

What is pure in Star-gen runs here as it is, on a clock turned by hand; only the shells around it
(event loops, sockets, processes, the disk) are stood in for. All chance comes from one seed: how
late bytes arrive and in what pieces, when a stream is cut, who dies, and how far the disk is
behind. Records that were not on disk when a master died never were.
"""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path

from stargen import records
from stargen.config import Pool
from stargen.launchers.base import NodeSpec
from stargen.master.arrivals import Arrivals
from stargen.master.keeper import NodeKeeper, attached
from stargen.master.nodes import Nodes
from stargen.messages import Attach, DefineJob, Inventory, decode, encode
from stargen.model import Location
from stargen.scheduling.events import (
    DiskStateChanged,
    EndCampaign,
    EnvelopesRead,
    NodeDetached,
    ReadEnvelopes,
    Ticked,
)
from stargen.scheduling.invariants import check_invariants
from stargen.scheduling.plan import Plan
from stargen.scheduling.scheduler import Scheduler
from stargen.transport.session import Session
from tests.simulation.agents import Agent, Work
from tests.simulation.wires import LIMITS, MASTER, Connection


class Disk:
    """The journal's stand-in: what is appended, and how much of it would outlive the process."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.durable = 0
        self.full = False
        self.payloads: dict[int, bytes] = {}
        self._end = 0

    def append_payload(self, pieces: list[bytes]) -> Location:
        start = self._end
        for piece in pieces:
            self.payloads[self._end] = piece
            self._end += len(piece)
        return Location(1, start, self._end - start)

    def read_all(self, places: list[Location]) -> list[bytes]:
        return [self.payloads[at.offset] for at in places]

    def crash(self) -> None:
        """What was not synced never was."""
        del self.log[self.durable :]


class Outgoing:
    """What the master's NodeKeeper has for a link: the session of the connection at hand."""

    def __init__(self, session: Session) -> None:
        self.post = session.send

    def flush(self) -> None:
        """Bytes leave when the connection moves."""


class Network:
    """Master, disk, agents and the connections between them, stepped by one seed."""

    def __init__(
        self, plan: Plan, work: Work, agents: dict[str, int], folder: Path, seed: int
    ) -> None:
        self.plan = plan
        self.chance = random.Random(seed)
        self.now = 1000.0
        self.disk = Disk()
        self.agents = {
            name: Agent(name, cores, work, self.chance) for name, cores in agents.items()
        }
        self._folder = folder
        self.start_master()

    # --- the master -------------------------------------------------------------------------------

    def start_master(self) -> None:
        """A new master, from what is on the disk."""
        self.disk.crash()
        self._check_promises()
        self.ended: EndCampaign | None = None
        self._due: deque[tuple[int, list[object]]] = deque()
        self.connections: dict[str, Connection] = {}
        self.scheduler = self.replayed()
        arrivals = Arrivals(self.disk, self.scheduler.wants, len(self.plan.jobs))
        self._arrivals = arrivals
        self.keepers = {name: self._keeper(name, arrivals) for name in self.agents}
        self._nodes = Nodes(self.keepers.values(), define=self._define, read=self.disk.read_all)
        for agent in self.agents.values():
            agent.hang_up()
        self._take(self.scheduler.start(self.now, "host", 1, "test"))
        self.disk.durable = len(self.disk.log)
        self._perform()

    def _check_promises(self) -> None:
        """What agents were told is safe is on the disk."""
        kept = {
            (record.job, row.ordinal)
            for record in map(records.decode, self.disk.log)
            if isinstance(record, records.TasksFinished)
            for row in record.rows
        }
        for agent in self.agents.values():
            assert agent.let_go <= kept, f"{agent.name} gave away {agent.let_go - kept}"

    def replayed(self) -> Scheduler:
        scheduler = Scheduler(self.plan)
        for body in self.disk.log:
            scheduler.apply(records.decode(body))
        return scheduler

    def _keeper(self, name: str, arrivals: Arrivals) -> NodeKeeper:
        spec = NodeSpec(name, "local", Pool(), "c", self._folder, self._folder, self._folder, 60.0)
        return NodeKeeper(
            spec, None, me=MASTER, limits=LIMITS, inbox=None, arrivals=arrivals, alert=None
        )

    def _define(self, job: int, pool: str) -> DefineJob:
        plan = self.plan.jobs[job]
        return DefineJob(job, plan.name, plan.shape.value, [], 0, {})

    def event(self, event: object) -> None:
        self._take(self.scheduler.handle(event))

    def _take(self, step) -> None:
        self.disk.log += [records.encode(record) for record in step.records]
        check_invariants(self.scheduler.state)
        self._due.append((len(self.disk.log), step.commands))

    def sync(self) -> None:
        """Some of what waits for the disk is on it now."""
        if not self.disk.full:
            self.disk.durable = self.chance.randint(self.disk.durable, len(self.disk.log))
            self._perform()

    def _perform(self) -> None:
        while self._due and self._due[0][0] <= self.disk.durable:
            for command in self._due.popleft()[1]:
                if isinstance(command, ReadEnvelopes):
                    entries = self.disk.read_all(command.locations)
                    edge = (command.job, command.input, command.lo)
                    self.event(EnvelopesRead(self.now, *edge, entries))
                elif isinstance(command, EndCampaign):
                    self.ended = command
                else:
                    self._nodes.perform(command)

    def _hear(self, name: str, message: object) -> None:
        keeper = self.keepers[name]
        if isinstance(message, Inventory):
            keeper._link, keeper._settled = Outgoing(self.connections[name].master), False
            keeper._defined.clear()
            self.event(attached(keeper.spec, message, self.now))
            return
        self._arrivals.check(message)
        self.event(self._arrivals.event(self.now, name, message))

    # --- troubles ---------------------------------------------------------------------------------

    def connect(self, name: str) -> None:
        """The master reaches the agent, and a new session begins."""
        self.connections[name] = Connection(self.chance, name)
        epoch = self.scheduler.state.epoch
        self.connections[name].master.send(encode(Attach("c", epoch, "host:1", 60.0)))

    def lose(self, name: str, *, final: bool = False) -> None:
        """The connection is over for good, with all that was under way."""
        if self.connections.pop(name, None) is not None:
            self.agents[name].hang_up()
            self.keepers[name]._link = None
            self.event(NodeDetached(self.now, name, "lost", final))

    def kill_agent(self, name: str) -> None:
        self.agents[name].die()
        self.lose(name, final=self.chance.random() < 0.5)

    def fill_disk(self, full: bool) -> None:
        self.disk.full = full
        self.event(DiskStateChanged(self.now, full))

    def trouble(self) -> None:
        """One thing goes wrong, or is mended."""
        name = self.chance.choice(list(self.agents))
        roll = self.chance.random()
        if roll < 0.45 and name in self.connections:
            self.connections[name].cut_and_mend()
        elif roll < 0.70:
            self.lose(name)
        elif roll < 0.80:
            self.kill_agent(name)
        elif roll < 0.90:
            self.start_master()
        else:
            self.fill_disk(not self.disk.full)

    # --- time -------------------------------------------------------------------------------------

    def step(self) -> None:
        """A little time passes: bytes move, tasks begin and end, the disk gets on."""
        before, self.now = self.now, self.now + self.chance.expovariate(10.0)
        for name, agent in self.agents.items():
            agent.work(self.now)
            connection = self.connections.get(name)
            if connection is None:
                continue
            for message in agent.says():
                connection.agent.send(encode(message))
            to_agent, to_master = connection.move(self.now)
            for payload in to_agent:
                agent.hear(decode(payload))
            for payload in to_master:
                self._hear(name, decode(payload))
        if int(self.now) > int(before):
            self.event(Ticked(self.now))
        self.sync()

    def run(self, troubles: float, steps: int) -> EndCampaign | None:
        """Until the campaign ends, with so many troubles a step on average."""
        for _ in range(steps):
            if self.ended is not None:
                break
            for name in self.agents:
                if name not in self.connections and self.chance.random() < 0.1:
                    self.connect(name)
            if self.chance.random() < troubles:
                self.trouble()
            self.step()
        return self.ended
