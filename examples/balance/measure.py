"""How much closer a database gets to the distribution that is wanted: `python measure.py`.

Runs `start.toml`, then `balance.toml` on the same database, and compares what the database holds
before and after with what `balance.toml` wants: elements, number of elements, number of atoms. The
distance of two distributions is the share of the materials that would have to be others (total
variation).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from shutil import copy
from typing import Any

from stargen_diffusion.existing import Existing, read_existing

from stargen.elements import SYMBOLS

HERE = Path(__file__).parent
URL = "sqlite:///balance.db"


def up(folder: Path, name: str) -> None:
    copy(HERE / name, folder)
    command = [sys.executable, "-m", "stargen.cli", "up", str(folder / name)]
    subprocess.run([*command, "--folder", str(folder / name.removesuffix(".toml"))], check=True)


def shares(found: Mapping[Any, float]) -> dict[str, float]:
    total = sum(found.values())
    return {str(key): value / total for key, value in found.items() if value}


def distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(abs(one.get(key, 0.0) - other.get(key, 0.0)) for key in {*one, *other}) / 2


def held(existing: Existing) -> dict[str, dict[str, float]]:
    elements = Counter({SYMBOLS[c + 1]: n for c, n in existing.elements.items()})
    return {
        "elements": shares(elements),
        "n_elements": shares(existing.n_elements),
        "n_atoms": shares(existing.n_atoms),
    }


def main() -> None:
    wanted = tomllib.loads((HERE / "balance.toml").read_text())["job"][0]["params"]
    with tempfile.TemporaryDirectory(prefix="balance-") as name:
        folder = Path(name)
        up(folder, "start.toml")
        before = read_existing(URL, folder)
        up(folder, "balance.toml")
        after = read_existing(URL, folder)
    counts = [sum(each.n_elements.values()) for each in (before, after)]
    print(f"\n{'distance from what is wanted':30}{'before':>10}{'after':>10}")
    print(f"{'materials':30}{counts[0]:>10,}{counts[1]:>10,}")
    one, other = held(before), held(after)
    for key in one:
        goal = shares(wanted[key])
        print(f"{key:30}{distance(one[key], goal):>10.2f}{distance(other[key], goal):>10.2f}")


if __name__ == "__main__":
    main()
