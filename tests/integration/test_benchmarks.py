"""The benchmarks that have a quick mode run, and check what they have measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
REPEATS = dict.fromkeys(("functions", "node", "spawn"), ("--repeats", "1"))


@pytest.mark.parametrize(
    "name", ["dashboard", "efficiency", "functions", "memory", "node", "spawn"]
)
def test_a_quick_run_prints_its_verdicts_and_writes_its_results(name: str, tmp_path: Path) -> None:
    places = {"STARGEN_BENCH_FOLDER": tmp_path, "STARGEN_BENCH_RESULTS": tmp_path / "results"}
    done = subprocess.run(
        [sys.executable, BENCHMARKS / f"{name}.py", "--quick", *REPEATS.get(name, ())],
        env={**os.environ, **{key: str(path) for key, path in places.items()}},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "(budget " in done.stdout
    written = json.loads((tmp_path / "results" / f"{name}.json").read_text())
    assert written["results"]
    assert written["measured_on"]["sync_ms"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["results"], "it clears up after itself"
