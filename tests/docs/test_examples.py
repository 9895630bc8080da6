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
    for name in (
        "01-echo", "gpaw-silicon", "many-small", "plugin", "polymorphs", "quickstart", "sizes",
        "substitution",
    )
]  # fmt: skip
CAMPAIGNS += [ROOT / "examples" / "balance" / f"{name}.toml" for name in ("start", "balance")]


@pytest.mark.parametrize("file", CAMPAIGNS, ids=lambda file: f"{file.parent.name}-{file.stem}")
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


@pytest.mark.slow
def test_balance_brings_a_database_closer_to_what_is_wanted():
    script = ROOT / "examples" / "balance" / "measure.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("elements", "n_elements", "n_atoms"):
        before, after = re.search(rf"^{name} +([\d.]+) +([\d.]+)$", done.stdout, re.M).groups()
        assert float(after) < float(before)


@pytest.mark.slow
def test_sizes_are_compared():
    script = ROOT / "examples" / "sizes" / "compare.py"
    done = subprocess.run(
        [sys.executable, script, "600"], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for way in ("data", "random", "data-then-random"):
        assert re.search(rf"^{way} +[\d.]+% +[\d.]+% +[\d.]+%$", done.stdout, re.M)


@pytest.mark.slow
def test_polymorphs_are_compared(tmp_path: Path):
    reference = tmp_path / "reference.csv"
    rows = ["NaCl,-2.1", "MgO,-3.0"]
    reference.write_text("\n".join(["formula,formation_energy_per_atom", *rows]) + "\n")
    script = ROOT / "examples" / "polymorphs" / "compare.py"
    command = [sys.executable, script, "--count", "4", "--reference", reference]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    for way in ("from noise", "best of 9 of each formula", "substitution", "substitution, best"):
        assert re.search(rf"^{way}.* [1-4]  -?\d\.\d{{3}} ", done.stdout, re.M), done.stdout
