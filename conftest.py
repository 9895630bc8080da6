"""What all tests share, those of plugins and examples included."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent

settings.register_profile(
    "stargen",
    derandomize=True,  # the same examples each time, so that a failure is one for everybody
    deadline=None,  # a busy machine is no failure
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("stargen")


@pytest.fixture(autouse=True)
def _no_site_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A test sees neither the user's configuration nor what a campaign around it set."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-config"))
    for name in [name for name in os.environ if name.startswith("STARGEN_")]:
        if name != "STARGEN_SHARED":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """A folder of larger reference data that the repository does not hold."""
    folder = Path(os.environ.get("STARGEN_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no reference data: {folder} does not exist (set STARGEN_SHARED)")
    return folder
