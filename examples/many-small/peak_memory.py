"""Run the campaign in a folder of its own and print the largest memory its master ever held."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CAMPAIGN = Path(__file__).with_name("campaign.toml")


def peak_mib(pid: int) -> float:
    """The peak of a process's resident memory so far, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(f"process {pid} has ended")


def run(folder: Path) -> tuple[float, float]:
    """(peak of the master in MiB, wall time in s) of a whole run."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "stargen.cli", "up", str(CAMPAIGN), "--folder", str(folder)]
    peak = 0.0
    with subprocess.Popen(command) as master:
        while master.poll() is None:
            time.sleep(0.05)
            try:
                peak = max(peak, peak_mib(master.pid))
            except (ProcessLookupError, FileNotFoundError):
                break
    if master.returncode:
        sys.exit(master.returncode)
    return peak, time.perf_counter() - begun


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="many-small-") as parent:
        folder = Path(parent) / "campaign"
        peak, wall_s = run(folder)
        status = [
            sys.executable,
            "-m",
            "stargen.cli",
            "status",
            "--json",
            "--campaign",
            str(folder),
        ]
        picture = json.loads(subprocess.run(status, capture_output=True, check=True).stdout)
    candidates = sum(job["in"] or job["out"] for job in picture["jobs"])
    print(f"\npeak resident memory of the master: {peak:.0f} MiB")
    print(f"{candidates:,} candidates through {len(picture['jobs'])} jobs in {wall_s:.1f} s")


if __name__ == "__main__":
    main()
