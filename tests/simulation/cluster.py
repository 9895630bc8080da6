"""A whole cluster in memory: the production scheduler, and agents that are a dictionary each.

Payloads live in a list instead of a journal; every record goes through its codec, so that what is
replayed is what would be on disk. Chance comes from the seed alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from support.plans import joined

from stargen import records
from stargen.codec import pack
from stargen.crystal import Envelope
from stargen.messages import AttemptRef, TaskFault
from stargen.model import Campaign, JobSpec, Resources, Retries, SelectSpec, Shape
from stargen.scheduling.events import (
    AcknowledgeResults,
    CancelAttempts,
    Command,
    DoneRow,
    EndCampaign,
    EnvelopesRead,
    Event,
    FailuresArrived,
    NodeAttached,
    NodeDetached,
    ReadEnvelopes,
    ResultsArrived,
    SendTasks,
    SettleInventory,
    TakeBackTasks,
    TasksGivenBack,
    Ticked,
)
from stargen.scheduling.invariants import check_invariants
from stargen.scheduling.plan import JobPlan, Plan
from stargen.scheduling.scheduler import Scheduler
from stargen.scheduling.state import CampaignState
from tests.simulation.reading import stream_of

RETRIES = Retries()
ONE_CORE = Resources()

Work = Callable[[list[str], list[str]], list[str] | None]
"""(candidate ids, kept ids) -> ids that come out; None: this attempt fails."""


def entry(name: str, **properties: float) -> bytes:
    """An entry with an envelope and no blob."""
    clear = pack([name, b"", "X", 1, properties])
    return len(clear).to_bytes(4, "little") + clear


def name_of(data: bytes) -> str:
    from stargen.crystal import envelope_of

    return envelope_of(data).candidate_id


def job(
    name: str,
    *inputs: str,
    shape: Shape = Shape.MAP,
    total: int | None = None,
    grain: int | None = 1,
    select: SelectSpec | None = None,
    rank: Callable[[Envelope], float | None] | None = None,
    group: Callable[[Envelope], str | None] | None = None,
    predicate: Callable[[Envelope], bool] | None = None,
    key: Callable[[Envelope], str] | None = None,
    request_of: Callable[[Envelope], tuple[Resources, ...]] | None = None,
    buffer: int = 10_000,
    steer=None,
    retries: Retries = RETRIES,
    resources: Resources = ONE_CORE,
) -> dict:
    spec = JobSpec(name, inputs=inputs, select=select, buffer=buffer, retries=retries)
    return {
        "spec": spec, "shape": Shape.GATHER if select else shape, "request": (resources,),
        "request_of": request_of, "key_of": key, "predicate": predicate, "rank": rank,
        "group": group, "grain": grain, "total": total, "steer": steer,
    }  # fmt: skip


def plan(*jobs: dict, stop=None, seed: int = 0) -> Plan:
    specs = tuple(each["spec"] for each in jobs)
    plans = (JobPlan(**each, **place) for each, place in zip(jobs, joined(specs), strict=True))
    campaign = Campaign("test", specs, seed=seed, stop=stop)
    return Plan(campaign, tuple(plans), "digest", "text")


class Agent:
    """One node: what it runs, what waits to be acknowledged, whether its link is up."""

    def __init__(self, name: str, cores: int) -> None:
        self.name = name
        self.resources = Resources(cores=cores)
        self.incarnation = 1
        self.linked = False
        self.running: dict[AttemptRef, tuple[int, int, list[bytes], list[bytes]]] = {}
        self.spool: dict[AttemptRef, list[bytes] | TaskFault] = {}


class Cluster:
    """Scheduler, agents and journal, stepped by hand."""

    def __init__(
        self, plan_: Plan, work: dict[str, Work], agents: Sequence[tuple[str, int]], seed: int = 0
    ) -> None:
        self.plan = plan_
        self.work = work
        self.random = random.Random(seed)
        self.agents = {name: Agent(name, cores) for name, cores in agents}
        self.disk: dict[int, bytes] = {}
        self.disk_end = 0
        self.log: list[bytes] = []
        self.snapshot: tuple[int, bytes] | None = None
        self.now = 1000.0
        self.ended: EndCampaign | None = None
        self.executions: dict[tuple[str, int], int] = {}
        self.held = set[str]()
        self.scheduler = Scheduler(plan_)
        self._take(self.scheduler.start(self.now, "host", 1, "test"))
        for agent in self.agents.values():
            self.attach(agent)

    # --- the master's side --------------------------------------------------------------------

    def event(self, *events: Event) -> None:
        self._take(self.scheduler.handle(*events))

    def _take(self, step) -> None:
        for record in step.records:
            self.log.append(records.encode(record))
        check_invariants(self.scheduler.state)
        for command in step.commands:
            self._perform(command)

    def _perform(self, command: Command) -> None:
        match command:
            case SendTasks():
                agent = self.agents[command.node]
                for row in command.rows:
                    ref = AttemptRef(command.job, row.ordinal, self.scheduler.state.epoch, row.n)
                    task = (
                        row.lo,
                        row.hi,
                        [self.disk[w.offset] for w in row.entries],
                        [self.disk[w.offset] for w in row.kept],
                    )
                    if agent.linked:
                        agent.running[ref] = task
            case AcknowledgeResults():
                for ref in command.attempts:
                    self.agents[command.node].spool.pop(ref, None)
            case CancelAttempts():
                for ref in command.attempts:
                    self.agents[command.node].running.pop(ref, None)
            case SettleInventory():
                agent = self.agents[command.node]
                for ref in command.cancel:
                    agent.running.pop(ref, None)
                    agent.spool.pop(ref, None)
            case ReadEnvelopes():
                entries = [self.disk[w.offset] for w in command.locations]
                self.event(EnvelopesRead(self.now, command.job, command.input, command.lo, entries))
            case TakeBackTasks():
                agent = self.agents[command.node]
                mine = [ref for ref in agent.running if ref.job == command.job]
                back = mine[len(mine) - command.count :]
                for ref in back:
                    del agent.running[ref]
                self.event(TasksGivenBack(self.now, command.node, back, "asked"))
            case EndCampaign():
                self.ended = command
            case _:
                pass

    def restart_master(self) -> None:
        """kill -9 and start again: state from snapshot and log, agents keep what they have."""
        for agent in self.agents.values():
            agent.linked = False
        self.scheduler = self.replayed()
        self.ended = None
        self._take(self.scheduler.start(self.now, "host", 2, "test"))

    def replayed(self) -> Scheduler:
        at, data = self.snapshot or (0, b"")
        scheduler = Scheduler.restore(self.plan, data) if data else Scheduler(self.plan)
        for body in self.log[at:]:
            scheduler.apply(records.decode(body))
        return scheduler

    def take_snapshot(self) -> None:
        self.snapshot = (len(self.log), self.scheduler.snapshot())

    # --- the nodes' side --------------------------------------------------------------------------

    def attach(self, agent: Agent) -> None:
        agent.linked = True
        self.event(
            NodeAttached(
                self.now,
                agent.name,
                "local",
                agent.name,
                agent.incarnation,
                agent.resources,
                list(agent.running),
                list(agent.spool),
            )
        )
        self.deliver(agent)

    def cut(self, agent: Agent) -> None:
        agent.linked = False
        self.event(NodeDetached(self.now, agent.name, "cut"))

    def kill(self, agent: Agent) -> None:
        """The agent dies with all it has; a new one takes its name."""
        agent.linked = False
        agent.running.clear()
        agent.spool.clear()
        agent.incarnation += 1
        self.event(NodeDetached(self.now, agent.name, "killed", final=self.random.random() < 0.5))

    def finish_one(self, agent: Agent) -> bool:
        """The agent ends one of its tasks, any of them."""
        if not agent.running:
            return False
        ref = self.random.choice(list(agent.running))
        lo, hi, entries, kept = agent.running.pop(ref)
        plan_ = self.plan.jobs[ref.job]
        names = [name_of(e) for e in entries]
        if plan_.shape is Shape.SOURCE:
            names = [f"{plan_.name}/{i}" for i in range(lo, hi)]
        key = (plan_.name, ref.ordinal)
        self.executions[key] = self.executions.get(key, 0) + 1
        out = self.work[plan_.name](names, [name_of(e) for e in kept])
        if out is None:
            agent.spool[ref] = TaskFault(*ref, "calculation", "boom", "it broke")
        else:
            agent.spool[ref] = [entry(name) for name in out]
        if agent.linked:
            self.deliver(agent)
        return True

    def deliver(self, agent: Agent) -> None:
        """Everything in the spool goes to the master, which may be given it twice."""
        for ref, result in list(agent.spool.items()):
            if isinstance(result, TaskFault):
                self.event(FailuresArrived(self.now, agent.name, [result]))
                continue
            row = DoneRow(*ref, 0.01, 1, self.disk_end, result)
            for each in result:
                self.disk[self.disk_end] = each
                self.disk_end += len(each)
            self.event(ResultsArrived(self.now, agent.name, [row]))

    def run(self, steps: int = 100_000) -> EndCampaign:
        """Until the campaign ends; ticks when nothing else happens."""
        idle = 0
        for _ in range(steps):
            if self.ended is not None:
                return self.ended
            agent = self.random.choice(list(self.agents.values()))
            if not agent.linked:
                self.attach(agent)
            if self.finish_one(agent):
                idle = 0
                continue
            idle += 1
            self.now += 1.0
            self.event(Ticked(self.now))
            if idle > 500:
                break
        raise AssertionError(f"the campaign does not end; open: {self._open()}")

    def _open(self) -> dict[str, int]:
        return {j.plan.name: len(j.tasks) for j in self.scheduler.state.jobs if not j.closed}

    # --- what came out ----------------------------------------------------------------------------

    def out(self, name: str) -> list[str]:
        """Candidate ids of a job's stream, read from the records alone."""
        places = stream_of(self.log, self.plan, self.plan.job(name).index)
        return [name_of(self.disk[place]) for place in places]


def digest(scheduler: Scheduler) -> bytes:
    """State as bytes, without what may be forgotten, after a snapshot's round trip."""
    scheduler.state.forget_consumed()
    again = CampaignState.from_snapshot(scheduler.plan, scheduler.snapshot())
    again.forget_consumed()
    return again.snapshot()
