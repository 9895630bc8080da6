"""Four hosts for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster.hosts import Hosts, why_not


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
