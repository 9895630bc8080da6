from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from stargen_gpaw import environment
from support.markdown import ROOT

CAMPAIGNS = [
    ROOT / "examples" / name / "campaign.toml"
    for name in ("01-echo", "gpaw-silicon", "many-small", "plugin", "quickstart")
]


@pytest.mark.parametrize("file", CAMPAIGNS, ids=lambda file: file.parent.name)
def test_nothing_is_wrong_with_an_example(file: Path):
    if 'use = "gpaw.' in file.read_text() and (problem := environment.problem()) is not None:
        pytest.skip(problem)
    command = [sys.executable, "-m", "stargen.cli", "check", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is wrong" in done.stdout


@pytest.mark.slow
def test_many_small_prints_the_peak_memory_of_the_master():
    script = ROOT / "examples" / "many-small" / "peak_memory.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    peak = re.search(r"peak resident memory of the master: (\d+) MiB", done.stdout)
    assert peak
    assert 20 < int(peak[1]) < 1024
    assert re.search(r"few-of-each +50,000 +100 ", done.stdout)
