"""A campaign to look at: six jobs, two pools, failures, a lost node, a held job; made from a seed.

It is written as a master would have written it, so that everything the dashboard shows of it comes
out of a journal.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from support.journals import journal_in

from stargen.crystal import Candidate, Crystal, encode_entry
from stargen.errors import UserError
from stargen.journal import Journal
from stargen.model import Resources
from stargen.provenance import Provenance
from stargen.records import (
    Alerted,
    AllocationPlanned,
    AllocationStands,
    AssignedRow,
    CandidateQuarantined,
    EpochStarted,
    FinishedRow,
    GraphRow,
    JobHeld,
    NodeJoined,
    NodeLost,
    NodeState,
    PlanAdopted,
    ReturnedRow,
    Routed,
    SourceEnded,
    TaskFailed,
    TasksAssigned,
    TasksFinished,
    TasksReturned,
    encode,
)
from stargen.scheduling.nodelist import resources_form
from stargen.store import CampaignFolder
from stargen.tui.trail import View

START = 1_760_000_000.0
SECONDS = 600
JOBS = ("generate", "screen", "predict", "promising", "relax", "hull")
GRAPH = [
    GraphRow("source", [], 6000),
    GraphRow("map", [0]),
    GraphRow("map", [1]),
    GraphRow("select", [2]),
    GraphRow("map", [3]),
    GraphRow("map", [4]),
]
TEXT = """
[campaign]
name = "li-oxides"
[[job]]
name = "generate"
use = "echo.source"
[[job]]
name = "relax"
input = "generate"
use = "echo.map"
resources = { cores = 24, memory_gib = 48, walltime_s = 1800 }
"""
CUBIC = ((0.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5))
METALS = (3, 11, 12, 20, 22, 25, 26, 28, 30, 38, 56)
DROPS = {"screen": ("charge", "geometry", "composition"), "hull": ("above hull",)}


class _Writer:
    """Plays the master's part, second by second."""

    def __init__(self, journal: Journal, seed: int) -> None:
        self.journal = journal
        self.random = random.Random(seed)
        self.at = START
        self.attempt = 0
        self.ordinals = [0] * len(JOBS)
        self.open: list[tuple[float, int, int, int, str, int]] = []
        self.waiting = [6000, 0, 0, 0, 0, 0]
        self.nodes: list[str] = []

    def add(self, record: Any) -> None:
        self.journal.append(encode(record))

    def assign(self, job: int, size: int, seconds: float) -> None:
        size = min(size, self.waiting[job])
        if size <= 0 or not self.nodes:
            return
        node = self.random.choice(self.nodes)
        self.attempt += 1
        ordinal = self.ordinals[job]
        self.ordinals[job] += 1
        row = AssignedRow(ordinal, self.attempt, 0, 0, size, 1)
        self.add(TasksAssigned(self.at, job, node, [row]))
        ends = self.at + seconds * self.random.lognormvariate(0.0, 0.4)
        self.open.append((ends, job, ordinal, self.attempt, node, size))
        self.waiting[job] -= size

    def candidate(self, job: int, number: int) -> Candidate:
        metal = self.random.choice(METALS)
        length = 4.0 + 0.5 * self.random.random()
        crystal = Crystal.of(
            [[length, 0, 0], [0, length * 1.1, 0], [0.4, 0, length]],
            [*CUBIC, *((x + 0.5, y, z) for x, y, z in CUBIC)],
            [metal] * 4 + [8] * 4,
        )
        energy = -2.5 + self.random.random()
        properties = {"formation_energy": energy, "band_gap": 4 * self.random.random()}
        if job >= 4:
            properties["e_above_hull"] = self.random.expovariate(12.0)
            properties["space_group"] = self.random.choice((225, 166, 62))
        data = {"demo.relax": self.relaxation(energy)} if job >= 4 else {}
        steps = tuple(
            Provenance(f"demo.{name}", "1.0", name, "5e1f00d5") for name in JOBS[: job + 1]
        )
        return Candidate(f"generate/{number}", crystal, properties, data, steps)

    def relaxation(self, energy: float) -> dict[str, Any]:
        steps = range(12 + self.random.randrange(20))
        wobble = [1 + 0.3 * self.random.random() for _ in steps]
        change = {"POTIM": [0.5, 0.25]}
        note = {"step": "relax", "fault": "zbrent", "message": "the line search lost its way"}
        return {
            "ionic_energies_ev": [energy + 2.0 * 0.75**i * wobble[i] for i in steps],
            "ionic_max_forces_ev_per_ang": [3.0 * 0.8**i * wobble[-1 - i] for i in steps],
            "corrections": [note | {"changes": change}] if self.random.random() < 0.5 else [],
        }

    def finish(self, job: int, ordinal: int, n: int, node: str, size: int, seconds: float) -> None:
        reasons = DROPS.get(JOBS[job], ())
        drops: dict[str, int] = {}
        for _ in range(size):
            if reasons and self.random.random() < 0.55:
                reason = reasons[int(len(reasons) * self.random.random() ** 2)]
                drops[reason] = drops.get(reason, 0) + 1
        out = size - sum(drops.values())
        made = [self.candidate(job, ordinal * 50 + i) for i in range(out)]
        entries = [encode_entry(candidate) for candidate in made]
        place = self.journal.append_payload(entries) if entries else None
        segment, offset = (place.segment, place.offset) if place else (0, 0)
        sizes = [len(entry) for entry in entries]
        costs = [[0, seconds, 0.9 * seconds, 0.0, 0.04 * seconds]] if job == 4 else []
        row = FinishedRow(
            ordinal,
            1,
            n,
            int(seconds * 1e6),
            segment,
            offset,
            sizes,
            drop_counts=drops,
            costs=costs,
        )
        self.add(TasksFinished(self.at, job, node, [row]))
        if job == 2:
            lanes = [0 if self.random.random() < 0.08 else -1 for _ in range(out)]
            self.add(Routed(self.at, 3, 2, 0, lanes, [], [], []))
            self.waiting[4] += sum(lane >= 0 for lane in lanes)
        elif job + 1 < len(JOBS):
            self.waiting[job + 1] += out

    def fail(self, job: int, ordinal: int, n: int, node: str, size: int) -> None:
        failure, signature, message = self.random.choice(
            (
                ("calculation", "scf", "the electronic loop has not converged after 60 steps"),
                ("memory", "oom", "killed when it used 3.2 of 3.0 GiB"),
                ("calculation", "bonds", "two atoms are 0.31 Å apart"),
            )
        )
        verdict = self.random.choice(("retry", "retry", "quarantine"))
        detail = "step 58 dE 1.2e-2\nstep 59 dE 1.1e-2\nstep 60 dE 1.1e-2\ngiving up"
        self.add(
            TaskFailed(
                self.at,
                job,
                ordinal,
                1,
                n,
                node,
                failure,
                signature,
                message,
                verdict,
                detail=detail,
            )
        )
        if verdict == "quarantine":
            self.add(CandidateQuarantined(self.at, job, 0, ordinal, ordinal, [], message))
        else:
            self.attempt += 1
            again = AssignedRow(ordinal, self.attempt, 0, 0, size, 1)
            self.add(TasksAssigned(self.at + 0.1, job, node, [again]))
            self.open.append((self.at + 40.0, job, ordinal, self.attempt, node, size))

    def lose(self, node: str) -> None:
        self.nodes.remove(node)
        lost = [task for task in self.open if task[4] == node]
        self.open = [task for task in self.open if task[4] != node]
        for _, job, ordinal, n, _, _ in lost:
            self.add(TasksReturned(self.at, job, "lost", [ReturnedRow(ordinal, 1, n)]))
        self.add(NodeLost(self.at, node, "no word for 60 s"))

    def second(self, number: int) -> None:
        self.at = START + number
        due = sorted(task for task in self.open if task[0] <= self.at)
        self.open = [task for task in self.open if task[0] > self.at]
        for _, job, ordinal, n, node, size in due:
            if job == 4 and self.random.random() < 0.12:
                self.fail(job, ordinal, n, node, size)
            else:
                seconds = {0: 2.0, 1: 1.5, 2: 4.0, 4: 45.0, 5: 3.0}[job]
                self.finish(
                    job, ordinal, n, node, size, seconds * (0.7 + 0.6 * self.random.random())
                )
        self.assign(0, 10, 2.0)
        self.assign(1, 50, 1.5)
        self.assign(2, 25, 4.0)
        if len([task for task in self.open if task[1] == 4]) < 20:
            self.assign(4, 1, 45.0)
        if number % 7 == 0 and number < 500:
            self.assign(5, 4, 3.0)


def _allocate(writer: _Writer) -> None:
    """One allocation runs, one waits, one was refused."""
    for number, (pool, nodes) in enumerate((("cpu", 18), ("gpu", 6), ("gpu", 6)), 1):
        name = f"{pool}-{number}"
        writer.add(AllocationPlanned(START, name, pool, nodes, 4 * 3600.0))
        writer.add(AllocationStands(START + 1, name, "queued", "", f"90{number}"))
    writer.add(AllocationStands(START + 5, "cpu-1", "running", "", "901"))
    words = "sbatch: error: QOSMaxSubmitJobPerUserLimit"
    writer.add(AllocationStands(START + 9, "gpu-3", "refused", words, ""))


async def _write(folder: Path, seed: int, until: int, nodes: int) -> None:
    async with journal_in(folder) as journal:
        writer = _Writer(journal, seed)
        writer.add(EpochStarted(START, 1, "login1", 4242, "0.1"))
        writer.add(PlanAdopted(START, "digest", TEXT, list(JOBS), GRAPH))
        for number in range(nodes):
            pool = "gpu" if number % 4 == 0 else "cpu"
            gpus = 4.0 if pool == "gpu" else 0.0
            resources = Resources(cores=24, gpus=gpus, memory_gib=96.0, scratch_gib=400.0)
            name = f"{pool}{number:03}"
            form = resources_form(resources)
            writer.add(NodeJoined(START + 0.01 * number, name, pool, f"a{number:04x}", 1, form))
            writer.nodes.append(name)
        _allocate(writer)
        for number in range(1, until + 1):
            writer.second(number)
            if number == 300:
                writer.lose("cpu007")
            if number == 380:
                writer.add(
                    NodeState(writer.at, "cpu010", "suspended", "failed 3 that others finish")
                )
                writer.nodes.remove("cpu010")
            if number == 420:
                writer.add(NodeState(writer.at, "gpu008", "draining", "asked by anna"))
                writer.nodes.remove("gpu008")
            if number == 450:
                writer.add(Alerted(writer.at, "the folder's disk has 2 GiB left"))
            if number == 500:
                writer.add(JobHeld(writer.at, 5, "9 of the last 12 tasks failed", "the master"))
        if writer.waiting[0] == 0:
            writer.add(SourceEnded(writer.at, 0, 6000, "all are made"))
        await journal.until_durable()


def lay_shown(
    folder: Path, *, seed: int = 7, until: int = SECONDS, nodes: int = 24
) -> CampaignFolder:
    """The campaign's folder, up to a second."""
    (folder / "journal").mkdir(parents=True)
    (folder / "campaign.toml").write_text(TEXT)
    asyncio.run(_write(folder / "journal", seed, until, nodes))
    return CampaignFolder(folder)


def loads(seed: int = 7, nodes: int = 24) -> dict[str, dict[str, Any]]:
    """What a master says of its nodes; of one without a link it says nothing."""
    chance = random.Random(seed)
    found: dict[str, dict[str, Any]] = {}
    for number in range(nodes):
        pool = "gpu" if number % 4 == 0 else "cpu"
        gpus = [[i, 100 * chance.random(), 30.0, 80.0, 41.0 + 9 * i] for i in range(4)]
        load = {
            "cpu_percent": min(100.0, 110 * chance.random()),
            "memory_used_gib": 96.0 * chance.random(),
            "memory_total_gib": 96.0,
            "disk_free_gib": 400.0,
            "buffered": chance.randrange(6),
            "io_pressure": 20 * chance.random(),
            "celsius": 40.0 + 45 * chance.random(),
            "scratch_gib": 12.5,
            "gpus": gpus if pool == "gpu" else [],
        }
        name = f"{pool}{number:03}"
        if name != "cpu013":
            found[name] = load
    return found


class ToldMaster:
    """A master that says the same again and again, and keeps what it was asked."""

    def __init__(self) -> None:
        self.loads = loads()
        self.chance = random.Random(3)
        self.running: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[tuple[str, str]] = []
        self.gone = False

    def connect(self) -> AbstractContextManager[ToldMaster]:
        if self.gone:
            raise UserError("no master is running this campaign on this machine")
        return nullcontext(self)

    def learn(self, view: View, now: float) -> None:
        """Which open tasks run: the first of each node; the others wait in its buffer."""
        for job, each in enumerate(view.status.jobs):
            for ordinal, (node, _, sent_at, *_) in each.open.items():
                rows = self.running.setdefault(node, [])
                if len(rows) < 2:
                    elapsed_s = now - sent_at if sent_at else 0.0
                    row = {"job": job, "ordinal": ordinal, "elapsed_s": elapsed_s}
                    rows.append(row | {"done": 7.0, "total": 20.0, "rss_gib": 1.25})

    def _told(self, node: str, *, closely: bool, task: str) -> dict[str, Any]:
        running = self.running.get(node, [])
        tasks = {(row["job"], row["ordinal"]) for row in running}
        return {"tasks": tasks} | (self._closely(node, task) if closely else {})

    def _closely(self, node: str, task: str) -> dict[str, Any]:
        chance = random.Random(node)
        job, _, ordinal = task.rpartition("/")
        words = "DAV:  12  -0.412E+02  -0.18E-03\n   3 F= -.41230E+02 E0= -.41229E+02"
        return {
            "running": self.running.get(node, []),
            "cores": [round(100 * chance.random(), 1) for _ in range(24)],
            "said": [[JOBS.index(job), int(ordinal), words]] if task else [],
        }

    def move(self) -> None:
        """Let some time pass on the nodes."""
        for load in self.loads.values():
            turn = self.chance.gauss(0.0, 6.0)
            load["cpu_percent"] = max(2.0, min(100.0, load["cpu_percent"] + turn))
            load["io_pressure"] = max(0.0, min(60.0, load["io_pressure"] + turn / 2))
            for gpu in load["gpus"]:
                gpu[1] = max(0.0, min(100.0, gpu[1] + self.chance.gauss(0.0, 9.0)))

    def look(
        self,
        since: float = 0.0,
        at: Sequence[str] = (),
        task: str = "",
        glance: str = "",
        after: int = 0,
    ) -> dict[str, Any]:
        if self.gone:
            raise UserError("the master has ended")
        return {
            "at": since + 1.0,
            "loads": {
                name: load
                | (self._told(name, closely=len(at) == 1, task=task) if name in at else {})
                for name, load in self.loads.items()
            },
            "unlinked": ["cpu013"],
            "silent_s": dict.fromkeys(at, 0.4),
            "sinks": [],
            "journal": {"position": 10, "durable": 8},
            "cost_s": 0.0,
        }

    def explain(self, target: str) -> list[str]:
        return [f"Task {target} waits: no node has 24 free cores.", "Two more nodes would run it."]

    def ask(self, action: str, target: str = "") -> None:
        if target == "nobody":
            raise UserError("there is no job nobody")
        self.asked.append((action, target))
