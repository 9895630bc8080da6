"""What looking costs: `python benchmarks/dashboard.py`.

A real master with simulated nodes that finish so many tasks a second (`paced.py`), and the real
`stargen top` in a terminal of 160 by 50. CPU is what the system says that each process used; of the
master without its snapshots and collections of garbage, which fall into one stretch of ten and have
nothing to do with who looks. A machine is not as fast now as it was a minute ago, and the master's
work drifts: so what the master uses more is taken from many short pairs of stretches, one with the
viewer at work, one with the viewer stopped, in changing order; their mean is told with its 95 %
interval. Beside it stands what the master itself is seen to do for viewers, by a look at its stack
every 2 ms of its CPU time. That does not drift, but misses what any other process costs a master by
sharing caches and cores with it; this is told by the same pairs with a process in the viewer's
place that is as busy as the viewer was, and asks nothing. Then keys are pressed,
and the time until their effect is written to the terminal is taken, with and without the time that
the viewer was ready to run and had no core; the same again when the master and the nodes are
stopped. In the end the viewer's journal is folded again, to see that what was shown is what
happened.

    python benchmarks/dashboard.py --turns 32 --rounds 8
    python benchmarks/dashboard.py --quick
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import statistics
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from common import median, peak_mib, save, scratch, table, verdict
from paced import CORES, running, told_s
from viewers import Busy, Viewer

SETTLED_S = 1.0
"""After the viewer was stopped, or goes on; as long again at most, as chance has it."""

ENOUGH = 1_000_000_000
"""Tasks of the campaign: it ends when all has been measured, not before."""

CROWDED = 0.8
"""Busy share of the cores from which on CPU times of two stretches differ for other reasons."""

# --- processes and the machine --------------------------------------------------------------------


def cpu_s(pid: int) -> float:
    """CPU time of a process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waited_s(pid: int) -> float:
    """How long a process's first thread was ready to run and had no core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def machine_s() -> tuple[float, float]:
    """CPU time that all processes used, and that there was, on all cores."""
    user, nice, system, idle, wait, *rest = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    busy = user + nice + system + sum(rest[:3])
    return busy / 100, (busy + idle + wait) / 100


# --- the keys ------------------------------------------------------------------------------------


class Key(NamedTuple):
    """A key, what it does, and what is written then; nothing if it is not timed."""

    name: str
    code: str
    shows: str


DOWN, UP, BACK_TAB, ESCAPE = "\x1b[B", "\x1b[A", "\x1b[Z", "\x1b"
KEYS = (
    Key("nodes", "2", "nodes by"),
    Key("to the table", "\t", "▶"),
    Key("down", DOWN, "▶"),
    Key("sort", "s", "[▲▼]"),
    Key("to the grid", BACK_TAB, ""),
    Key("tasks", "3", "what came of it"),
    Key("down", DOWN, "▶"),
    Key("up", UP, "▶"),
    Key("candidates", "5", "candidates of"),
    Key("journal", "6", "TasksAssigned|TasksFinished"),
    Key("down", DOWN, "▶"),
    Key("allocations", "7", "not at work|allocation"),
    Key("help", "?", "Keys"),
    Key("close it", ESCAPE, "pools|allocation"),
    Key("overview", "1", "events"),
)


@dataclass
class Latencies:
    """Seconds from key to terminal, by what the key does.

    Parameters
    ----------
    own : the same in one list, without what the viewer waited for a core
    load : busy share of all cores
    """

    keys: dict[str, list[float]] = field(default_factory=dict)
    own: list[float] = field(default_factory=list)
    load: float = 0.0

    @property
    def p95_ms(self) -> float:
        return p95_ms([each for found in self.keys.values() for each in found])


def p95_ms(latencies_s: list[float]) -> float:
    return 1e3 * sorted(latencies_s)[int(0.95 * (len(latencies_s) - 1))]


def latencies(viewer: Viewer, rounds: int, pause_s: float) -> Latencies:
    """Of every key in turn, at the pace of a person in a hurry."""
    found = Latencies()
    busy, all_ = machine_s()
    for _ in range(rounds):
        for key in KEYS:
            waited = waited_s(viewer.pid)
            took_s = viewer.press(key.code, key.shows)
            if key.shows:
                found.keys.setdefault(key.name, []).append(took_s)
                found.own.append(took_s - (waited_s(viewer.pid) - waited))
            time.sleep(pause_s)
    now_busy, now_all = machine_s()
    found.load = (now_busy - busy) / (now_all - all_)
    print(
        f"{found.p95_ms:.0f} ms, alone {p95_ms(found.own):.0f} ms; cores busy {found.load:.0%}",
        file=sys.stderr,
        flush=True,
    )
    return found


# --- the measurement ------------------------------------------------------------------------------


@dataclass
class Stretch:
    """What was used in a stretch of time, in percent of one core.

    Parameters
    ----------
    page : what was looked at
    seen : whether the viewer was at work; otherwise it was stopped
    master : without its snapshots and collections of garbage
    asked : the part of `master` that went into what viewers ask, and into what is kept for them
    """

    page: str
    seen: bool
    rate: float
    master: float
    asked: float
    viewer: float
    bytes_per_s: float
    load: float


@dataclass
class Measured:
    """All that is found out.

    Parameters
    ----------
    pairs : of a stretch that was seen and one beside it that was not
    beside : the same with something as busy in the viewer's place
    """

    pairs: list[tuple[Stretch, Stretch]] = field(default_factory=list)
    beside: list[tuple[Stretch, Stretch]] = field(default_factory=list)
    busy: Latencies = field(default_factory=Latencies)
    idle: Latencies = field(default_factory=Latencies)
    memory_mib: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def finished(folder: Path) -> int:
    from stargen.master.control import ControlClient

    with ControlClient.of(folder) as master:
        return master.status()["jobs"][0]["tasks"]["finished"]


class Watch:
    """Takes stretches of a campaign and of its viewer."""

    def __init__(self, folder: Path, master: int, viewer: Viewer | Busy, seconds: float) -> None:
        self.folder, self.master, self.viewer, self.seconds = folder, master, viewer, seconds
        self._chance = random.Random(1)

    def pair(self, page: str) -> tuple[Stretch, Stretch]:
        """One with the viewer at work and one with it stopped, in an order that chance has."""
        first = self._chance.random() < 0.5
        made = {seen: self._stretch(page, seen) for seen in (first, not first)}
        return made[True], made[False]

    def _stretch(self, page: str, seen: bool) -> Stretch:
        os.kill(self.viewer.pid, signal.SIGCONT if seen else signal.SIGSTOP)
        time.sleep(SETTLED_S * self._chance.uniform(1.0, 2.0))  # it asks in a rhythm of its own
        done, (busy, all_) = finished(self.folder), machine_s()
        began, written = time.monotonic(), self.viewer.bytes
        master_s, viewer_s = cpu_s(self.master), cpu_s(self.viewer.pid)
        asked_s, pieces_s = told_s(self.folder.parent)
        time.sleep(self.seconds)
        used_s, looked_s = cpu_s(self.master) - master_s, cpu_s(self.viewer.pid) - viewer_s
        now_asked_s, now_pieces_s = told_s(self.folder.parent)
        wall_s, sent = time.monotonic() - began, self.viewer.bytes - written
        now_busy, now_all = machine_s()
        made = Stretch(
            page,
            seen,
            (finished(self.folder) - done) / wall_s,
            100 * (used_s - (now_pieces_s - pieces_s)) / wall_s,
            100 * (now_asked_s - asked_s) / wall_s,
            100 * looked_s / wall_s,
            sent / wall_s,
            (now_busy - busy) / (now_all - all_),
        )
        print(made, file=sys.stderr, flush=True)
        return made


def measure(options: argparse.Namespace) -> Measured:
    made = Measured()
    sizes = {"nodes": options.nodes, "tasks": ENOUGH, "rate": options.rate}
    with scratch() as base, running(base, **sizes) as master:
        folder = base / "out"
        until_busy(folder, options)
        with Viewer(folder, options.settled_s) as viewer:
            watch = Watch(folder, master, viewer, options.seconds)
            for page, (key, shows) in PAGES.items():
                viewer.press(key, shows)
                made.pairs += [watch.pair(page) for _ in range(options.turns)]
                os.kill(viewer.pid, signal.SIGCONT)
            made.beside = beside(watch, made.pairs, options.turns * len(PAGES))
            viewer.press("1", "events")
            made.busy = latencies(viewer, options.rounds, options.pause_s)
            made.memory_mib = {"viewer": peak_mib(viewer.pid), "master": peak_mib(master)}
        os.killpg(master, signal.SIGSTOP)
        with Viewer(folder, options.settled_s) as viewer:
            made.idle = latencies(viewer, options.rounds, options.pause_s)
        made.counts = verify(folder)
    return made


def beside(
    watch: Watch, pairs: list[tuple[Stretch, Stretch]], count: int
) -> list[tuple[Stretch, Stretch]]:
    """The same pairs while the viewer is stopped, with something as busy in its place."""
    os.kill(watch.viewer.pid, signal.SIGSTOP)
    busy = Busy(statistics.fmean(seen.viewer for seen, _ in pairs) / 100)
    instead = Watch(watch.folder, watch.master, busy, watch.seconds)
    try:
        return [instead.pair("busy") for _ in range(count)]
    finally:
        busy.close()
        os.kill(watch.viewer.pid, signal.SIGCONT)


PAGES = {"overview": ("1", ""), "nodes": ("2", "nodes by"), "tasks": ("3", "what came of it")}


def until_busy(folder: Path, options: argparse.Namespace) -> None:
    """Until the nodes have joined and tasks have finished for as long as one takes."""
    from stargen.errors import UserError

    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        with suppress(UserError, IndexError):
            if finished(folder) > options.nodes * CORES:
                return
        time.sleep(1.0)
    raise TimeoutError("the nodes do not reach their pace")


def verify(folder: Path) -> dict[str, int]:
    """What a viewer folds from the journal is what the journal holds, task by task."""
    from stargen.journal import read_records
    from stargen.records import TasksFinished, decode
    from stargen.tui.feed import Feed

    feed = Feed(folder / "journal", follow=False)
    asyncio.run(feed.run())
    ordinals: dict[int, set[int]] = defaultdict(set)
    for _, body in read_records(folder / "journal"):
        record = decode(body)
        if isinstance(record, TasksFinished):
            ordinals[record.job].update(row.ordinal for row in record.rows)
    counted = feed.live.status.jobs[0].finished
    assert counted == len(ordinals[0]), (counted, len(ordinals[0]))
    return {"records": feed.live.position, "finished": counted}


# --- the command ----------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=5000.0)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each stretch")
    parser.add_argument("--turns", type=int, default=10, help="pairs of stretches for each page")
    parser.add_argument("--rounds", type=int, default=5, help="of all keys")
    parser.add_argument("--quick", action="store_true", help="a small one, of half a minute")
    options = parser.parse_args()
    options.settled_s, options.pause_s = 5.0, 0.25
    if options.quick:
        options.nodes, options.rate, options.seconds, options.rounds = 20, 500.0, 1.0, 1
        options.turns, options.settled_s, options.pause_s = 2, 1.0, 0.05
    signal.signal(signal.SIGTERM, ended)
    report(options, measure(options))


def ended(number: int, frame: object) -> None:
    """Whoever ends this ends the master below it as well."""
    raise SystemExit(128 + number)


def used_more(pairs: list[tuple[Stretch, Stretch]]) -> tuple[float, float]:
    """What the master used more while somebody looked: the mean, and half its 95 % interval."""
    found = [seen.master - unseen.master for seen, unseen in pairs]
    return statistics.fmean(found), 1.96 * statistics.stdev(found) / len(found) ** 0.5


def row(page: str, pairs: list[tuple[Stretch, Stretch]]) -> list[object]:
    seen, unseen = zip(*pairs, strict=True)
    more, give = used_more(pairs)
    means = [
        statistics.fmean(values)
        for values in (
            [s.rate for s in seen],
            [s.master for s in unseen],
            [s.master for s in seen],
            [s.asked for s in seen],
            [s.viewer for s in seen],
            [s.bytes_per_s / 1e3 for s in seen],
            [100 * s.load for s in seen],
        )
    ]
    return [page, len(pairs), *means[:3], f"{more:+.2f} ± {give:.2f}", *means[3:]]


def report(options: argparse.Namespace, made: Measured) -> None:
    heads = [
        "page",
        "pairs",
        "tasks/s",
        "master %",
        "seen %",
        "more",
        "asked %",
        "viewer %",
        "kB/s",
        "cores %",
    ]
    of_page = {page: [pair for pair in made.pairs if pair[0].page == page] for page in PAGES}
    all_ = of_page | {"all": made.pairs, "another": made.beside}
    table(heads, [row(page, pairs) for page, pairs in all_.items()])
    rows = []
    for name, took_s in made.busy.keys.items():
        both = (took_s, made.idle.keys[name])
        rows.append([name, *(1e3 * of(each) for each in both for of in (median, max))])
    table(["key", "busy ms", "most", "idle ms", "most"], rows)
    seen = [pair[0] for pair in made.pairs]
    more, give = used_more(made.pairs)
    print(f"cores busy while keys were pressed: {100 * made.busy.load:.0f} %", end=", ")
    print(f"with everything else stopped {100 * made.idle.load:.0f} %")
    if median(s.load for s in seen) > CROWDED:
        print("other processes filled the cores: what the master uses more cannot be told")
    print(f"memory: viewer {made.memory_mib['viewer']:.0f} MiB", end=", ")
    print(f"master {made.memory_mib['master']:.0f} MiB")
    shown = max(statistics.fmean(s.viewer for s, _ in pairs) for pairs in of_page.values())
    verdict("viewer, percent of one core", shown, most=5.0)
    asked = max(statistics.fmean(s.asked for s, _ in pairs) for pairs in of_page.values())
    verdict("master, for viewers, percent of one core", asked, most=2.0)
    told = f"{more:.2f}, by 95 % {more - give:.2f} to {more + give:.2f}"
    by_another, its_give = used_more(made.beside)
    print(f"master, more than without: {told}", end="; ")
    print(f"with another process as busy, that asks nothing: {by_another:.2f} ± {its_give:.2f}")
    verdict("master, more than without, the upper end", more + give, most=2.0)
    verdict("key to terminal, 95th percentile, ms", made.busy.p95_ms, most=100.0)
    verdict("the same but for waiting for a core, ms", p95_ms(made.busy.own), most=100.0)
    verdict("the same while nothing else runs, ms", made.idle.p95_ms, most=100.0)
    verdict("tasks finished a second", median(s.rate for s in seen), least=0.9 * options.rate)
    print(f"verified: {made.counts['finished']:,} tasks in {made.counts['records']:,} records")
    save("dashboard", {"options": vars(options), "master_more": [more, give], "measured": made})


if __name__ == "__main__":
    main()
