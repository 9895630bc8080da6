"""A journal's older segments, checked in a process of their own: `python -m stargen.journal.past`.

Standard output tells of each damaged segment, as a line of JSON with the fields of `Damage`. The
process goes when its parent does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from stargen.journal.verify import damage_of

_NICE = 10
"""Nobody waits for it before the campaign ends."""


def main(arguments: Sequence[str]) -> None:
    """Check the first so many segments of a folder."""
    folder, segments = Path(arguments[0]), int(arguments[1])
    parent = os.getppid()
    os.nice(_NICE)
    for number in range(1, segments + 1):
        damage = damage_of(folder, number)
        if damage is not None:
            sys.stdout.write(json.dumps(asdict(damage)) + "\n")
            sys.stdout.flush()
        if os.getppid() != parent:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
