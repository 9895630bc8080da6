"""200 candidates, a tenth of them faulty; master and agent are killed half-way. Who is missing?

python examples/vasp-mock/many.py [COUNT]
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from trial import environment, fates, left_over, start, write, wrong_energies

from stargen.processes import processes

_SHARE = 0.03
_PLAN = [
    {"fault": kind, "at_step": 2, "times": times, "share": _SHARE}
    for kind, times in (
        ("zbrent", 1), ("killed", 1), ("truncate", 1), ("set_core_wf", 99), ("rhosyg", 99),
    )
]  # fmt: skip


def kill_all(folder: Path, master: int) -> int:
    """SIGKILL to master and agent; returns how many were hit."""
    victims = [master]
    for process in processes():
        try:
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"stargen.executing.agent" in words and str(folder / "out").encode() in b" ".join(words):
            victims.append(process.pid)
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    return len(victims)


def main() -> int:
    """Run, kill, go on, account."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        write(folder, count, ["relax"])
        environ = environment(folder, _PLAN)
        began = time.monotonic()
        master = start(folder, environ)
        while master.poll() is None:
            time.sleep(0.5)
            if sum(fate.times_ended for fate in fates(folder, count).values()) >= count // 2:
                break
        hit = kill_all(folder, master.pid) if master.poll() is None else 0
        master.wait()
        code = start(folder, environ).wait(timeout=1_200)
        found = fates(folder, count)
        print(f"killed {hit} processes half-way; exit code {code}")
        for end, n in Counter(fate.end for fate in found.values()).most_common():
            print(f"{n:5d}  {end}")
        for fault, n in Counter(
            c["fault"] for fate in found.values() for c in fate.corrections
        ).most_common():
            print(f"{n:5d}  corrected: {fault}")
        once = all(fate.times_ended == 1 for fate in found.values())
        left, wrong = left_over(folder), wrong_energies(found)
        print(
            f"each ended once: {once}; wrong energies: {len(wrong)}; left over: {len(left)}; "
            f"{time.monotonic() - began:.0f} s"
        )
        return 0 if once and not left and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
