"""The benchmark of many agents over SSH, with few."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster.hosts import why_not

pytestmark = pytest.mark.timeout(120)

FANOUT = Path(__file__).parents[2] / "benchmarks" / "fanout.py"


def test_agents_behind_one_login_are_counted_and_end(tmp_path: Path):
    reason = why_not()
    if reason is not None:
        pytest.skip(f"no sshd to be started: {reason}")
    places = {"STARGEN_BENCH_FOLDER": tmp_path, "STARGEN_BENCH_RESULTS": tmp_path / "results"}
    done = subprocess.run(
        [sys.executable, FANOUT, "--agents", "4", "--group", "3", "--tasks", "200"],
        env={**os.environ, **{key: str(path) for key, path in places.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "given up" not in done.stderr
    written = json.loads((tmp_path / "results" / "fanout-groups.json").read_text())
    one, many = written["results"]["runs"]
    assert (one["agents"], many["agents"]) == (1, 4)
    assert many["start_cpu_s"] > 0
    assert many["messages_per_s"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["results"], "it clears up after itself"
