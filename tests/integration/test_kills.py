"""kill -9 of master, agent, worker and sink: at named points and at random moments.

Each case is a real campaign on a real disk. The process dies, is started again where nobody else
does that, and when the campaign is done an independent reader goes over journal and database. Two
campaigns run at a time; a failing one's folder is kept, and the failure says what was killed when.
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
    "make", "draw", "fan", "lucky", "best", "together", "ranked", "first", "long",
)  # fmt: skip
LONG_TASKS = 3
AT_ONCE = 2
HITS = {"sink": (1, 2, 3)}
USUAL_HITS = (2, 5, 17)
SEEDS = range(21)
WORKER_SEEDS = range(3)


@dataclass(frozen=True)
class Case:
    """What is done to a campaign.

    Parameters
    ----------
    role, point, hit : who dies where; no point: at a random moment
    seed : decides what is random
    power : the journal loses what was not synced when the master died
    """

    role: str
    point: str = ""
    hit: int = 0
    seed: int = 0
    power: bool = False

    def __str__(self) -> str:
        if not self.point:
            return f"{self.role}-seed{self.seed}"
        return f"{self.role}-{self.point}-{self.hit}" + ("-power" if self.power else "")


def cases() -> list[Case]:
    named = [
        Case(role, point, hit, power=role == "master" and k == 1)
        for role, points in POINTS.items()
        for point in points
        for k, hit in enumerate(HITS.get(role, USUAL_HITS))
    ]
    workers = [Case("worker", seed=seed) for seed in WORKER_SEEDS]
    return [*named, *workers, *(Case("any", seed=seed) for seed in SEEDS)]


CASES = cases()


@dataclass
class Story:
    """What happened in one run."""

    campaign: RealCampaign
    books: Books
    killed: list[str] = field(default_factory=list)
    left: list[int] = field(default_factory=list)


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
    """All runs that tests of this session ask for, two at a time, in the order of the tests."""
    wanted = [item.callspec.params.get("case") for item in request.session.items
              if hasattr(item, "callspec") and item.path == request.path]  # fmt: skip
    size = journal_size(undisturbed.campaign)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            case: pool.submit(live, case, tmp_path_factory.mktemp(str(case)), size)
            for case in wanted
            if case is not None
        }


def journal_size(campaign: RealCampaign) -> int:
    return sum(path.stat().st_size for path in campaign.journal.glob("*.log"))


# --- what is done to a campaign -------------------------------------------------------------------


def live(case: Case, folder: Path, usual_size: int) -> Story:
    """Run a campaign through all that the case has in store for it."""
    campaign = RealCampaign(folder, TEXT)
    try:
        killed = at_a_point(campaign, case) if case.point else at_random(campaign, case, usual_size)
        left = campaign.wait_until_gone()
        return Story(campaign, Books(campaign.journal), killed, left)
    finally:
        campaign.sweep()


def at_a_point(campaign: RealCampaign, case: Case) -> list[str]:
    note = campaign.base / "killed"
    master = campaign.start(Kill(case.role, case.point, case.hit, note))
    code = campaign.wait(master)
    assert note.exists(), f"{case} never came to that point:\n{campaign.said()}"
    killed = [note.read_text().strip()]
    if case.role == "master":
        assert code == -9, f"the master ended with code {code}"
        if case.power:
            killed[-1] += f", {cut_power(campaign.journal, campaign.base / 'synced')} bytes lost"
        code = campaign.run()
    assert code == 0, f"{killed}: the master ended with code {code}:\n{campaign.said()}"
    return killed


def at_random(campaign: RealCampaign, case: Case, usual_size: int) -> list[str]:
    """Kill one or two processes when the journal has come to a random length."""
    rng = random.Random(f"{case.role} {case.seed}")
    roles = [case.role]
    if case.role == "any":
        roles = rng.choice(["master", "agent", "master agent", "master master", "agent master",
                            "worker master", "agent worker", "all"]).split()  # fmt: skip
    lengths = sorted(rng.uniform(0.02, 0.9) * usual_size for _ in roles)
    master = campaign.start()
    killed: list[str] = []
    for role, length in zip(roles, lengths, strict=True):
        wait_for(lambda n=length: journal_size(campaign) >= n, 10.0)
        time.sleep(rng.uniform(0.0, 0.05))
        pids = victims(campaign, role, master.pid, rng)
        for pid in pids:
            kill(pid)
        killed.append(f"{role} {pids} at {journal_size(campaign)} bytes")
        if master.pid in pids:
            master.wait()
            master = campaign.start()
    code = campaign.wait(master)
    assert code == 0, f"{killed}: the master ended with code {code}:\n{campaign.said()}"
    return killed


def victims(campaign: RealCampaign, role: str, master: int, rng: random.Random) -> list[int]:
    found: dict[str, Callable[[], list[int]]] = {
        "master": lambda: [master],
        "agent": campaign.agents,
        "worker": lambda: [rng.choice(campaign.workers())] if campaign.workers() else [],
        "all": campaign.processes,
    }
    return found[role]()


# --- what must hold afterwards --------------------------------------------------------------------


def test_the_undisturbed_run_is_sound(undisturbed: Story) -> None:
    books = undisturbed.books
    assert not undisturbed.left
    books.check_complete()
    books.check_keyed("two-of-each", KEPT)
    books.check_database(undisturbed.campaign.base / "kills.db")
    assert {len(books.by_name[name].stream) > 0 for name in books.by_name} == {True}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_is_lost_and_nothing_counts_twice(
    case: Case, stories: dict[Case, Future[Story]], undisturbed: Story
) -> None:
    story = stories[case].result()
    print(f"{case}: killed {story.killed}")
    assert not story.left, "processes were left over"
    books = story.books
    books.check_complete()
    books.check_keyed("two-of-each", KEPT)
    same_contents(books, undisturbed.books, *UNTOUCHED_BY_TIMING)
    same_where_shared(books, undisturbed.books, "after")
    assert books.check_acknowledged(story.campaign.acknowledged) > 0
    books.check_database(story.campaign.base / "kills.db")
    if all(line.startswith(("master", "sink")) for line in story.killed):
        the_agent_went_on(story)


def the_agent_went_on(story: Story) -> None:
    """One agent process for all masters, and no long task that was begun twice."""
    assert len(set(story.books.agents)) <= 1, "the agent was started again"
    lines = (story.campaign.base / "executions").read_text().split("\n")
    begun = Counter(line.split()[0] for line in lines if line)
    assert set(begun.values()) == {1}, f"executions: {begun}"
    assert len(begun) == LONG_TASKS
