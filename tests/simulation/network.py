"""A campaign over a bad network: production scheduler, sessions, messages and task buffers.

What is pure in Star-gen runs here as it is, on a clock turned by hand; only the shells around it
(event loops, sockets, processes, the disk) are stood in for. All chance comes from one seed: how
late bytes arrive and in what pieces, when a stream is cut, who dies, and how far the disk is
behind. Records that were not on disk when a master died never were.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from pathlib import Path

from stargen import records
from stargen.config import Pool
from stargen.executing.buffer import Line, TaskBuffer
from stargen.executing.capacity import Capacity, Grant, Topology
from stargen.launchers.base import NodeSpec
from stargen.master.arrivals import Arrivals
from stargen.master.nodes import NodeKeeper, Nodes, _attached
from stargen.messages import (
    AckResults,
    Attach,
    AttemptRef,
    CancelTasks,
    DefineJob,
    GaveBack,
    Inventory,
    RunTasks,
    Settle,
    TakeBack,
    TaskDone,
    TaskFault,
    TaskOrder,
    TasksDone,
    TasksFailed,
    decode,
    encode,
)
from stargen.model import Location, Resources, Shape
from stargen.scheduling.events import (
    DiskStateChanged,
    EndCampaign,
    EnvelopesRead,
    NodeDetached,
    ReadEnvelopes,
    Ticked,
)
from stargen.scheduling.invariants import check_invariants
from stargen.scheduling.nodelist import resources_form, resources_from
from stargen.scheduling.plan import Plan
from stargen.scheduling.scheduler import Scheduler
from stargen.transport.greeting import Doorman, Identity
from stargen.transport.session import Limits, Session
from tests.simulation.cluster import entry, name_of

MASTER = Identity("master", "c", "m")
LIMITS = Limits(heartbeat_s=0.0, part=400, window=6000)
LATE_S = 0.2
"""Mean time that bytes are under way."""

Work = Callable[[str, list[str], list[str]], list[str] | None]
"""(job, candidate ids, kept ids) -> ids that come out; None: this attempt fails."""


class Wire:
    """Bytes under way in both directions: in order, in pieces, late; lost if it is cut."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._flying: dict[str, deque[tuple[float, bytes]]] = {"agent": deque(), "master": deque()}

    def put(self, to: str, data: bytes, now: float) -> None:
        flying = self._flying[to]
        while data:
            size = self._chance.randint(1, 600)
            earliest = flying[-1][0] if flying else now
            arrives = max(earliest, now + self._chance.expovariate(1 / LATE_S))
            flying.append((arrives, data[:size]))
            data = data[size:]

    def take(self, to: str, now: float) -> list[bytes]:
        flying = self._flying[to]
        came: list[bytes] = []
        while flying and flying[0][0] <= now:
            came.append(flying.popleft()[1])
        return came


class Connection:
    """Two sessions and the wire between them; a new one begins with `Attach`."""

    def __init__(self, chance: random.Random, agent: Agent) -> None:
        self._chance = chance
        me = self._me = Identity("agent", "c", agent.name)
        name = chance.randbytes(8)
        self.master = Session(
            MASTER, expects="agent", session_id=name, peer=agent.name, limits=LIMITS
        )
        self.agent = Session(me, expects="master", session_id=name, peer="m", limits=LIMITS)
        self._connect()

    def _connect(self) -> None:
        self._wire = Wire(self._chance)
        self._doorman: Doorman | None = Doorman(self._me, "master")
        self.master.greet(0.0)

    def cut_and_mend(self) -> None:
        """The stream breaks; both sides go on over another one."""
        self.master.cut()
        self.agent.cut()
        self._connect()

    def move(self, now: float) -> tuple[list[bytes], list[bytes]]:
        """Carry bytes; the messages that came to the agent, and to the master."""
        self._wire.put("agent", self.master.take(now), now)
        if self._doorman is None:
            self._wire.put("master", self.agent.take(now), now)
        to_agent: list[bytes] = []
        for data in self._wire.take("agent", now):
            if self._doorman is None:
                to_agent += self.agent.receive(data, now)
            elif (hello := self._doorman.feed(data)) is not None:
                self.agent.welcome(hello, self._doorman.reader, now)
                self._doorman = None
        to_master: list[bytes] = []
        for data in self._wire.take("master", now):
            to_master += self.master.receive(data, now)
        return to_agent, to_master


class Agent:
    """One node: the production buffer, and tasks that take as long as chance will."""

    def __init__(self, name: str, cores: int, work: Work, chance: random.Random) -> None:
        self.name = name
        self.incarnation = 0
        self.executions = 0
        self.let_go: set[tuple[int, int]] = set()
        """Tasks whose results it keeps no longer, for the master said that they are safe."""
        self._resources = Resources(cores=cores)
        self._work = work
        self._chance = chance
        self._spool: dict[AttemptRef, TaskDone | TaskFault] = {}
        self.die()

    def die(self) -> None:
        """The process ends; its successor finds the spool on the disk."""
        topology = Topology((tuple(range(self._resources.cores)),))
        self._buffer = TaskBuffer(Capacity(self._resources, topology))
        self._running: dict[AttemptRef, tuple[float, TaskOrder, Line, Grant]] = {}
        self._jobs: dict[int, DefineJob] = {}
        self._defined: set[int] = set()
        self._said: list[object] = []
        self._attached = False
        self._epoch = 0
        self.incarnation += 1

    def hang_up(self) -> None:
        self._attached = False
        self._said.clear()

    def says(self) -> list[object]:
        said, self._said = self._said, []
        return said

    def hear(self, message: object) -> None:
        match message:
            case Attach():
                self._attached, self._epoch = True, message.epoch
                self._defined.clear()
                self._said.append(self._inventory())
            case Settle():
                self._cancel(message.cancel)
                known = {*message.keep, *message.cancel, *message.deliver}
                self._cancel([ref for ref in self._in_hand() if ref not in known])
                self._deliver([ref for ref in message.deliver if ref in self._spool])
            case DefineJob():
                self._jobs[message.job] = message
                self._defined.add(message.job)
            case RunTasks():
                assert message.job in self._defined, "tasks of a job that nobody defined"
                request = resources_from(message.resources)
                self._buffer.accept(
                    message.job, request, message.priority, self._epoch, message.tasks
                )
            case AckResults():
                for ref in message.attempts:
                    if isinstance(self._spool.pop(ref, None), TaskDone):
                        self.let_go.add((ref.job, ref.ordinal))
            case CancelTasks():
                self._said.append(GaveBack(self._cancel(message.attempts), message.reason))
            case TakeBack():
                back = self._buffer.give_back(message.job, message.count)
                self._said.append(GaveBack(back, "asked"))
            case _:
                raise AssertionError(f"an agent is told {message}")

    def work(self, now: float) -> None:
        """Begin what fits, and end what is due."""
        while (line := self._buffer.next(now)) is not None:
            (waiting,) = self._buffer.draw(line, 1)
            grant = self._buffer.grant(line)
            ends_at = now + self._chance.expovariate(2.0)
            self._running[line.ref(waiting)] = (ends_at, waiting.order, line, grant)
        ended = [ref for ref, (ends_at, *_) in self._running.items() if ends_at <= now]
        for ref in ended:
            _, order, line, grant = self._running.pop(ref)
            self._buffer.finish(line, grant)
            self._spool[ref] = self._result(ref, order)
        if self._attached:
            self._deliver(ended)

    def _result(self, ref: AttemptRef, order: TaskOrder) -> TaskDone | TaskFault:
        job = self._jobs[ref.job]
        names = [name_of(data) for data in order.entries]
        if job.shape == Shape.SOURCE.value:
            names = [f"{job.name}/{n}" for n in range(order.lo, order.hi)]
        self.executions += 1
        out = self._work(job.name, names, [name_of(data) for data in order.kept])
        if out is None:
            return TaskFault(*ref, "calculation", "boom", "it broke")
        return TaskDone(ref.ordinal, ref.epoch, ref.n, 0.5, [entry(name) for name in out])

    def _deliver(self, refs: list[AttemptRef]) -> None:
        for ref in refs:
            result = self._spool[ref]
            done = isinstance(result, TaskDone)
            self._said.append(TasksDone(ref.job, [result]) if done else TasksFailed([result]))

    def _in_hand(self) -> list[AttemptRef]:
        return [*self._running, *self._buffer.refs()]

    def _cancel(self, refs: list[AttemptRef]) -> list[AttemptRef]:
        gone = self._buffer.remove(refs)
        for ref in refs:
            if ref in self._running:
                _, _, line, grant = self._running.pop(ref)
                self._buffer.finish(line, grant)
                gone.append(ref)
            self._spool.pop(ref, None)
        return gone

    def _inventory(self) -> Inventory:
        form = resources_form(self._resources)
        running, spooled = self._in_hand(), list(self._spool)
        return Inventory(
            "c", self.name, self.incarnation, "boot", "host", 0, form, running, spooled
        )


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
        self.send = session.send

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
            self.event(_attached(keeper.spec, message, self.now))
            return
        self._arrivals.check(message)
        self.event(self._arrivals.event(self.now, name, message))

    # --- troubles ---------------------------------------------------------------------------------

    def connect(self, name: str) -> None:
        """The master reaches the agent, and a new session begins."""
        self.connections[name] = Connection(self.chance, self.agents[name])
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
