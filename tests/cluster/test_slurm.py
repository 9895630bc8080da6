"""Campaigns in allocations of a real Slurm, and what befalls allocations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster.batch import Login
from cluster.slurm import Slurm

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def login(tmp_path: Path, slurm: Slurm) -> Iterator[Login]:
    desk = Login(tmp_path / "work", slurm)
    yield desk
    desk.sweep()
    slurm.clear()


def test_allocations_come_as_there_is_work_and_go_with_it(login: Login):
    login.campaign(24, 0.5)
    code, text = login.stargen("up", "campaign.toml", timeout_s=90)
    assert code == 0, text
    login.books()
    assert sorted(login.executions()) == sorted(set(login.executions()))
    queued = text.index("allocation cpu-1 (job 1) is queued")
    assert queued < text.index("node cpu-1 joined") < text.index("allocation cpu-2 ")
    assert "is lost" not in text
    assert login.nothing_left()
