from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CAMPAIGN = Path(__file__).parents[1] / "campaign.toml"
STARGEN = [sys.executable, "-m", "stargen.cli"]


def test_a_campaign_runs_with_it(tmp_path: Path):
    folder = tmp_path / "campaign"
    up = [*STARGEN, "up", str(CAMPAIGN), "--folder", str(folder)]
    ran = subprocess.run(up, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    status = [*STARGEN, "status", "--json", "--campaign", str(folder)]
    told = subprocess.run(status, cwd=tmp_path, capture_output=True, text=True, check=True)
    picture = json.loads(told.stdout)
    assert picture["state"] == "done"
    assert {job["name"]: job["out"] for job in picture["jobs"]} == {
        "make": 60,
        "measure": 60,
        "longest": 5,
    }
