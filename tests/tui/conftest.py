"""A dashboard over a campaign made from a seed, at a fixed moment and in a fixed time zone."""

import time
from collections.abc import Iterator

import pytest
from support.shown import lay_shown

from stargen.store import CampaignFolder


@pytest.fixture(scope="session")
def shown(tmp_path_factory) -> CampaignFolder:
    return lay_shown(tmp_path_factory.mktemp("shown") / "campaign")


@pytest.fixture(autouse=True)
def _greenwich(monkeypatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NO_COLOR", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
