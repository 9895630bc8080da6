"""What is asked of a campaign while it runs, by people and by its own sources."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.agents import MISCHIEF
from support.checker import Books
from support.real_campaigns import RealCampaign, kill, wait_for

from stargen.crystal import decode_entry
from stargen.journal import read_records
from stargen.master.control import ControlClient, NoMaster
from stargen.records import SourceSteered, decode

COUNT = 150

SLOW = f"""
[campaign]
name = "asking"
[[job]]
name = "make"
use = "mischief.tastes"
params = {{ count = {COUNT}, seconds = 0.03 }}
grain = 3
"""


class Campaign(RealCampaign):
    """One that finds the calculators of `mischief`."""

    def environment(self) -> dict[str, str]:
        env = super().environment()
        return env | {"PYTHONPATH": os.pathsep.join([env["PYTHONPATH"], MISCHIEF])}

    def picture(self) -> dict:
        """The status; empty while there is no master."""
        try:
            with ControlClient.of(self.folder) as master:
                return master.status()
        except NoMaster:
            return {}

    def ask(self, action: str, target: str) -> None:
        with ControlClient.of(self.folder) as master:
            master.ask(action, target)

    def node(self) -> dict:
        (node,) = self.picture().get("nodes") or [{}]
        return node

    def made(self) -> int:
        return sum(job["out"] for job in self.picture().get("jobs", []))


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    campaign = Campaign(tmp_path, SLOW)
    yield campaign
    assert not campaign.sweep(), "processes were left over"


def test_a_drained_node_rests_until_the_drain_is_lifted(campaign: Campaign) -> None:
    master = campaign.start()
    assert wait_for(lambda: campaign.made() >= 6, 20.0), campaign.said()
    name = campaign.node()["name"]
    campaign.ask("drain", name)
    assert wait_for(lambda: campaign.node()["state"] == "draining")
    assert wait_for(lambda: not campaign.node()["running"]), "what runs does not end"
    rested = campaign.made()
    assert not wait_for(lambda: campaign.made() != rested, 1.5), "a drained node works"
    campaign.ask("undrain", name)
    assert campaign.wait(master) == 0, campaign.said()
    books = Books(campaign.journal)
    books.check_complete()
    assert len(books.contents("make")) == COUNT
    assert len(books.agents) == 1, "it is the agent that was drained"
    assert not books.by_name["make"].quarantined


def test_a_drain_outlives_the_master(campaign: Campaign) -> None:
    master = campaign.start()
    assert wait_for(lambda: campaign.made() >= 6, 20.0), campaign.said()
    name = campaign.node()["name"]
    campaign.ask("drain", name)
    assert wait_for(lambda: campaign.node()["state"] == "draining")
    kill(master.pid)
    master.wait()
    again = campaign.start()
    assert wait_for(lambda: campaign.node().get("connected", False), 20.0), campaign.said()
    assert campaign.node()["state"] == "draining"
    campaign.ask("undrain", name)
    assert campaign.wait(again) == 0, campaign.said()
    assert len(Books(campaign.journal).contents("make")) == COUNT


def test_a_steered_source_makes_each_ordinal_by_what_held_for_it(campaign: Campaign) -> None:
    """Workers are killed after the change, so that ordinals from before it are made after it."""
    master = campaign.start()
    assert wait_for(lambda: bool(steered(campaign.journal)), 30.0), campaign.said()
    for pid in campaign.workers():
        kill(pid)
    assert campaign.wait(master) == 0, campaign.said()
    ((boundary, params),) = steered(campaign.journal)
    assert params == {"taste": "sweet"}
    books = Books(campaign.journal)
    entries = [decode_entry(books.entry(at)) for at in books.by_name["make"].stream]
    tastes = {int(c.candidate_id.partition("/")[2]): c.properties["taste"] for c in entries}
    assert tastes == {n: "salty" if n < boundary else "sweet" for n in range(COUNT)}
    assert 20 <= boundary < COUNT


def steered(journal: Path) -> list[tuple[int, dict]]:
    if not journal.exists():
        return []
    told = (decode(body) for _, body in read_records(journal))
    return [(r.ordinal, r.params) for r in told if isinstance(r, SourceSteered)]
