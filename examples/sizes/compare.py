"""Three ways to choose how many atoms a crystal gets, side by side: `python compare.py`.

Runs the campaign beside this file once for each way and prints which share of the candidates was
valid, over all and over the first and the last third, and what steering did, and from where on.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from stargen.journal import read_records
from stargen.records import SourceSteered, decode

CAMPAIGN = Path(__file__).with_name("campaign.toml")
WAYS = ("data", "random", "data-then-random")


def run(text: str, folder: Path) -> tuple[list[int], list[tuple[int, float]]]:
    """Ordinals of the valid candidates; from which on steering asked for which random share."""
    file = folder / "campaign.toml"
    file.write_text(text)
    command = [sys.executable, "-m", "stargen.cli", "up", str(file), "--folder", str(folder / "c")]
    subprocess.run(command, check=True)
    with closing(sqlite3.connect(folder / "sizes.db")) as connection:
        query = "SELECT candidate_id FROM material WHERE status = 'kept'"
        valid = sorted(int(row[0].split("/")[1]) for row in connection.execute(query))
    records = (decode(body) for _, body in read_records(folder / "c" / "journal"))
    steered = [
        (record.ordinal, float(record.params["random_share"]))
        for record in records
        if isinstance(record, SourceSteered)
    ]
    return valid, steered


def main(count: int = 3000) -> None:
    text = CAMPAIGN.read_text().replace("count = 3000", f"count = {count}")
    rows = []
    for way in WAYS:
        with tempfile.TemporaryDirectory(prefix="sizes-") as folder:
            mine = text.replace('size = "data-then-random"', f'size = "{way}"')
            valid, steered = run(mine, Path(folder))
        third = count // 3
        first = sum(ordinal < third for ordinal in valid) / third
        last = sum(ordinal >= count - third for ordinal in valid) / third
        rows.append((way, len(valid) / count, first, last))
        for ordinal, share in steered:
            print(f"{way}: from candidate {ordinal:,} on, {share:.0%} of the sizes are random")
    print(f"\n{'valid candidates':20}{'of all':>10}{'first third':>14}{'last third':>13}")
    for way, *shares in rows:
        print(f"{way:20}{shares[0]:>10.1%}{shares[1]:>14.1%}{shares[2]:>13.1%}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
