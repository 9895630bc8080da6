"""Four hosts, or four nodes of a Slurm, for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster import slurm as batch
from cluster.hosts import Hosts, why_not
from cluster.slurm import Slurm


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    reason = why_not()
    if reason is not None:
        pytest.skip(f"no hosts to be made: {reason}")
    made = Hosts(tmp_path_factory.mktemp("hosts"), 4)
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    reason = batch.why_not()
    if reason is not None:
        pytest.skip(f"no Slurm to be made: {reason}")
    made = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        made.up()
        yield made
    finally:
        made.down()
