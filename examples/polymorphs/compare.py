"""What choosing brings, beside substitution: `python compare.py --reference HULL.csv.gz`.

Runs the campaign beside this file four ways and prints the energies above the hull of what was
relaxed: structures as they come from noise; the best of each formula, with others predicted for it;
ionic substitution into known prototypes; and of eight times as many of those the best predicted of
each formula. The same number of crystals is relaxed of each way to the end, by CHGNet, and placed
on the same hull.
"""

from __future__ import annotations

import argparse
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

CAMPAIGN = Path(__file__).with_name("campaign.toml")
SAMPLES = 8
"""Structures for each composition, as the campaign has it."""

WAYS = {
    "noise": "from noise",
    "chosen": f"best of {SAMPLES + 1} of each formula",
    "substitution": "substitution",
    "predicted": "substitution, best predicted",
}

SUBSTITUTE = """
[[job]]
name = "generate"
use = "structures.substitute"
params = {{ count = {count}, max_atoms = 20 }}

"""

PREDICTED = """
[[job]]
name = "judge"
input = "screen"
use = "crysformer.predict"

[[job]]
name = "lowest"
input = "judge"
select = { order_by = "formation_energy_pred", limit = 1, per = "formula" }

"""


def jobs(text: str) -> dict[str, str]:
    """The campaign's head, and its jobs by name, as text."""
    head, *parts = text.split("[[job]]\n")
    names = [part.partition('name = "')[2].partition('"')[0] for part in parts]
    return {"": head} | {name: f"[[job]]\n{part}" for name, part in zip(names, parts, strict=True)}


def select(name: str, input_: str, count: int) -> str:
    """A job that lets so many through, by chance."""
    return f'[[job]]\nname = "{name}"\ninput = "{input_}"\nselect = {{ sample = {count} }}\n\n'


def ways(count: int, reference: str) -> dict[str, str]:
    """The four campaigns; each relaxes `count` crystals to the end."""
    parts = jobs(CAMPAIGN.read_text())
    parts["generate"] = parts["generate"].replace("count = 40", f"count = {count * 5 // 4}")
    parts["some"] = select("some", "screen", count)
    parts["predict"] = parts["predict"].replace('input = "screen"', 'input = "some"')
    parts["settle"] = parts["settle"].replace('"screen", "predict"', '"some", "predict"')
    parts["hull"] = parts["hull"].rstrip() + f'\nparams = {{ reference = "{reference}" }}\n'
    choosing = ("predict", "settle", "best")
    plain = {name: part for name, part in parts.items() if name not in choosing}
    plain["relax"] = plain["relax"].replace('"best"', '"some"')
    likely = plain | {"generate": SUBSTITUTE.format(count=3 * count)}
    predicted = plain | {
        "generate": SUBSTITUTE.format(count=3 * SAMPLES * count),
        "lowest": PREDICTED,
        "some": select("some", "lowest", count),
    }
    texts = {"noise": plain, "chosen": parts, "substitution": likely, "predicted": predicted}
    return {way: "".join(each.values()) for way, each in texts.items()}


def distances(text: str) -> np.ndarray:
    """Energies above the hull of all that a campaign relaxed, eV/atom."""
    with tempfile.TemporaryDirectory(prefix="polymorphs-") as name:
        folder = Path(name)
        file = folder / "campaign.toml"
        file.write_text(text)
        command = [sys.executable, "-m", "stargen.cli", "up", str(file)]
        subprocess.run([*command, "--folder", str(folder / "c")], check=True)
        with closing(sqlite3.connect(folder / "polymorphs.db")) as connection:
            query = "SELECT e_above_hull FROM material WHERE e_above_hull IS NOT NULL"
            return np.array([row[0] for row in connection.execute(query)])


def interval(values: np.ndarray, statistic: Callable[[np.ndarray], np.floating]) -> str:
    """A statistic with its 95 % interval by the bootstrap."""
    chance = np.random.default_rng(0)
    drawn = [statistic(chance.choice(values, len(values))) for _ in range(2000)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{statistic(values):.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(WAYS), help="leave out the others")
    parser.add_argument("--count", type=int, default=300, help="crystals to relax of each way")
    parser.add_argument("--reference", type=Path, required=True, help="competing phases")
    options = parser.parse_args()
    texts = ways(options.count, str(options.reference.resolve()))
    found = {WAYS[way]: distances(texts[way]) for way in options.only or WAYS}
    print(f"\n{'above the hull, eV/atom':36}{'n':>5}  {'median':24}{'mean':24}{'< 0.1':>7}")
    for way, values in found.items():
        median, mean = interval(values, np.median), interval(values, np.mean)
        print(f"{way:36}{len(values):>5}  {median:24}{mean:24}{np.mean(values < 0.1):>7.0%}")


if __name__ == "__main__":
    main()
