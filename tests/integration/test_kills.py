"""kill -9 of master, agent, worker, host of programs and sink: at named points and at random.

Each case is a real campaign on a real disk. A process dies, or one after another, is started again
where nobody else does that, and when the campaign is done an independent reader goes over journal
and database. Some campaigns run at a time; a failing one's folder is kept, and the failure says
what was killed when. The end of the test run says how often each point was met.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.checker import Books, same_contents, same_where_shared
from support.killing import POINTS, Kill, cut_power
from support.real_campaigns import RealCampaign, kill, wait_for

TEXT = Path(__file__).with_name("kill_campaign.toml").read_text()
KEPT = 2
"""What the keyed job of the campaign keeps of each key."""

UNTOUCHED_BY_TIMING = (
    "make", "draw", "fan", "lucky", "best", "together", "ranked", "first", "long", "walk",
    "program",
)  # fmt: skip
LONG = {"long": 3, "walk": 3, "program": 3}
"""Jobs of long tasks, and how many of these there are."""

EXECUTIONS = 9
"""Lines of a run in which each part of each long task was begun once."""

STEPS = 18
LOST_STEPS = 3
"""Of a walk, when its worker dies: what its agent had not written down yet, and the one at hand."""

AT_ONCE = 4
HITS = {
    "master": (2, 5, 17), "agent": (2, 5, 17), "worker": (1, 3, 6), "host": (1, 2, 3),
    "sink": (1, 2, 3),
}  # fmt: skip
LEAST_HITS = 3
START_S = 60.0
"""So long may a master on a busy machine need until its journal has come to some length."""
VICTIM_S = 3.0
"""So long may it take until there is somebody of the role that is to die; or there is nobody."""
SEEDS = range(60)
TOGETHER = (
    "master", "agent", "worker", "sink", "host", "master agent", "master master", "agent master",
    "worker master", "agent worker", "worker host", "all",
)  # fmt: skip
"""Who dies at random, one after another."""


@dataclass(frozen=True)
class Case:
    """What is done to a campaign.

    Parameters
    ----------
    name : of the test
    deaths : (role, point, hit): who dies where
    seed : decides who else dies when, if it is given
    power : the journal loses what was not synced when the master died
    """

    name: str
    deaths: tuple[tuple[str, str, int], ...] = ()
    seed: int | None = None
    power: bool = False


def points(role: str) -> list[tuple[str, str, int]]:
    """Each point of a role with each of its hits."""
    return [(role, point, hit) for point in POINTS[role] for hit in HITS[role]]


def cases() -> list[Case]:
    """Those that the agent survives come alone: there it must go on as if nothing had happened."""
    sink, worker, host = points("sink"), points("worker"), points("host")
    alone = [
        Case(
            "-".join(map(str, death)),
            (death, *sink[i : i + 1]),
            power=death[2] == HITS["master"][1],
        )
        for i, death in enumerate(points("master"))
    ]
    nodes = [
        Case("-".join(map(str, death)), (death, *worker[i : i + 1], *host[i : i + 1]))
        for i, death in enumerate(points("agent"))
    ]
    return [*alone, *nodes, *(Case(f"seed{seed}", seed=seed) for seed in SEEDS)]


CASES = cases()
ATTEMPTS = 3


@dataclass
class Story:
    """What happened in one run."""

    campaign: RealCampaign
    books: Books
    killed: list[str] = field(default_factory=list)
    left: list[int] = field(default_factory=list)

    @property
    def spared_the_node(self) -> bool:
        """Whether agent and workers were left alone."""
        return all(line.startswith(("master", "sink")) for line in self.killed)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Story:
    campaign = RealCampaign(tmp_path_factory.mktemp("undisturbed"), TEXT)
    code = campaign.run()
    assert code == 0, campaign.said()
    return Story(campaign, Books(campaign.journal), left=campaign.wait_until_gone())


@pytest.fixture(scope="module")
def stories(
    request: pytest.FixtureRequest, undisturbed: Story, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Case, Future[Story]]]:
    """All runs that tests of this session ask for, some at a time, in the order of the tests."""
    wanted = [item.callspec.params.get("case") for item in request.session.items
              if hasattr(item, "callspec") and item.path == request.path]  # fmt: skip
    size = journal_size(undisturbed.campaign)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            case: pool.submit(live, case, tmp_path_factory.mktemp(case.name), size)
            for case in wanted
            if case is not None
        }


def journal_size(campaign: RealCampaign) -> int:
    return sum(path.stat().st_size for path in campaign.journal.glob("*.log"))


# --- what is done to a campaign -------------------------------------------------------------------


class NeverThere(AssertionError):
    """A run ended before a process came to the point where it was to be killed so often."""


def live(case: Case, folder: Path, usual_size: int) -> Story:
    """Run a campaign through all that the case has in store for it.

    How often a process passes a point depends on what it finds done together, so a run that passed
    too seldom is made again.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return live_once(case, folder / str(attempt), usual_size)
        except NeverThere:
            continue
    return live_once(case, folder / "last", usual_size)


def live_once(case: Case, folder: Path, usual_size: int) -> Story:
    folder.mkdir()
    campaign = RealCampaign(folder, TEXT)
    try:
        if case.seed is None:
            killed = at_points(campaign, case)
        else:
            killed = at_random(campaign, case.seed, usual_size)
        left = campaign.wait_until_gone()
        return Story(campaign, Books(campaign.journal), killed, left)
    finally:
        campaign.sweep()


def at_points(campaign: RealCampaign, case: Case) -> list[str]:
    kills = [Kill(*death, campaign.base / f"killed-{i}") for i, death in enumerate(case.deaths)]
    code = campaign.run(kills)
    lost = ""
    if kills[0].role == "master":
        assert code == -9, f"the master ended with code {code}:\n{campaign.said()}"
        if case.power:
            lost = f", {cut_power(campaign.journal, campaign.base / 'synced')} bytes lost"
        code = campaign.run(kills)
    assert code == 0, f"{case}: the master ended with code {code}:\n{campaign.said()}"
    missed = [str(kill) for kill in kills if not kill.note.exists()]
    if missed:
        raise NeverThere(f"never came to {missed}:\n{campaign.said()}")
    killed = [kill.note.read_text().strip() for kill in kills]
    return [killed[0] + lost, *killed[1:]]


def at_random(campaign: RealCampaign, seed: int, usual_size: int) -> list[str]:
    """Kill one or two processes when the journal has come to a random length."""
    rng = random.Random(seed)
    roles = rng.choice(TOGETHER).split()
    lengths = sorted(rng.uniform(0.02, 0.9) * usual_size for _ in roles)
    master = campaign.start()
    killed: list[str] = []
    for role, length in zip(roles, lengths, strict=True):
        wait_for(lambda n=length: journal_size(campaign) >= n, START_S)
        time.sleep(rng.uniform(0.0, 0.05))
        pids = victims_soon(campaign, role, master.pid, rng)
        for pid in pids:
            kill(pid)
        killed.append(f"{role} {pids} at {journal_size(campaign)} bytes")
        if master.pid in pids:
            master.wait()
            master = campaign.start()
    code = campaign.wait(master)
    assert code == 0, f"{killed}: the master ended with code {code}:\n{campaign.said()}"
    return killed


def victims_soon(campaign: RealCampaign, role: str, master: int, rng: random.Random) -> list[int]:
    """As `victims`, as soon as there are any."""
    pids: list[int] = []
    wait_for(lambda: bool(pids.extend(victims(campaign, role, master, rng)) or pids), VICTIM_S)
    return pids


def victims(campaign: RealCampaign, role: str, master: int, rng: random.Random) -> list[int]:
    """Whom it hits; nobody where there is none of that role at the moment."""

    def one_of(pids: list[int]) -> list[int]:
        return [rng.choice(sorted(pids))] if pids else []

    found: dict[str, Callable[[], list[int]]] = {
        "master": lambda: [master],
        "agent": campaign.agents,
        "worker": lambda: one_of(campaign.workers()),
        "host": lambda: one_of(campaign.processes("worker_process", "--programs")),
        "sink": lambda: one_of(campaign.processes("sink_process")),
        "all": campaign.processes,
    }
    return found[role]()


# --- what must hold afterwards --------------------------------------------------------------------


def test_each_point_is_met_often_enough() -> None:
    met = Counter(death[:2] for case in CASES for death in case.deaths)
    wanted = {(role, point) for role, points in POINTS.items() for point in points}
    assert met.keys() == wanted
    assert min(met.values()) >= LEAST_HITS


def test_the_undisturbed_run_is_sound(undisturbed: Story) -> None:
    books = undisturbed.books
    assert not undisturbed.left
    books.check_complete()
    books.check_keyed("two-of-each", KEPT)
    books.check_database(undisturbed.campaign.base / "kills.db")
    assert {len(books.by_name[name].stream) > 0 for name in books.by_name} == {True}
    the_agent_went_on(undisturbed)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_is_lost_and_nothing_counts_twice(
    case: Case,
    stories: dict[Case, Future[Story]],
    undisturbed: Story,
    record_property: Callable[[str, object], None],
) -> None:
    story = stories[case].result()
    books = story.books
    for line in story.killed:
        record_property("killed", line if case.seed is None else f"seed {case.seed}: {line}")
    assert not story.left, "processes were left over"
    books.check_complete()
    books.check_keyed("two-of-each", KEPT)
    same_contents(books, undisturbed.books, *UNTOUCHED_BY_TIMING)
    same_where_shared(books, undisturbed.books, "after")
    assert books.check_acknowledged(story.campaign.acknowledged) > 0
    books.check_database(story.campaign.base / "kills.db")
    no_walk_began_again(story)
    if story.spared_the_node:
        the_agent_went_on(story)
        record_property("handed on", sum(map(books.handed_on, LONG)))


def test_an_attempt_goes_on_under_the_next_master(tmp_path: Path) -> None:
    """Same process, same incarnation, same attempt."""
    campaign = RealCampaign(tmp_path, TEXT)
    try:
        master = campaign.start()
        executions = tmp_path / "executions"
        assert wait_for(lambda: executions.exists() and "long" in executions.read_text(), 20.0)
        kill(master.pid)
        master.wait()
        agents = campaign.agents()
        assert campaign.run() == 0, campaign.said()
    finally:
        campaign.sweep()
    books = Books(campaign.journal)
    assert list(map(str, agents)) == campaign.agents_begun.read_text().split()
    assert len(books.agents) == len(books.epochs) == 2
    assert len(set(books.agents)) == 1, "the agent was another one"
    assert books.handed_on("long") >= 1
    the_agent_went_on(Story(campaign, books))


def no_walk_began_again(story: Story) -> None:
    """Who dies on the way costs the last steps, and not all that were done."""
    lines = Counter((story.campaign.base / "steps").read_text().splitlines())
    assert len(lines) == STEPS, "steps are missing"
    again = lines.total() - STEPS
    assert again <= LOST_STEPS * 2 * len(story.killed), f"{again} steps were done again: {lines}"


def the_agent_went_on(story: Story) -> None:
    """One agent process for all masters, and no long task that was begun twice."""
    begun = story.campaign.agents_begun.read_text().split()
    assert len(begun) == 1, f"the agent was started again: processes {begun}"
    assert len(set(story.books.agents)) == 1, f"other agents attached: {story.books.agents}"
    executions = Counter((story.campaign.base / "executions").read_text().splitlines())
    assert set(executions.values()) == {1}, f"executions: {executions}"
    assert len(executions) == EXECUTIONS
