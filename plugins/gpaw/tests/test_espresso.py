"""Silicon by another code: skips without GPAW, or without Debian's quantum-espresso."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "examples" / "gpaw-silicon" / "against_espresso.py"


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_two_codes_agree_on_silicon():
    done = subprocess.run(
        [sys.executable, SCRIPT], capture_output=True, text=True, timeout=1_000, check=False
    )
    if done.returncode == 2:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lattice constants differ by 0." in done.stdout
