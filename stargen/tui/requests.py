"""What tasks were granted: the resources of their class, as the journal and the plan tell them."""

from __future__ import annotations

import tomllib
from itertools import islice
from pathlib import Path
from typing import Any, cast

from stargen.journal import read_records
from stargen.records import LaneOpened, PlanAdopted, decode

_EARLY = 5_000
"""Records in which plan and classes are looked for: both are told before most tasks are sent."""

Variants = list[list[Any]]


class Requests:
    """Resource requests of a campaign; call `of` in a thread."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._lanes: dict[tuple[int, int], Variants] = {}
        self._asked: dict[str, Any] = {}
        self._read = False

    def note(self, record: Any) -> None:
        """Learn from a record that was read for other reasons."""
        if isinstance(record, LaneOpened):
            self._lanes[record.job, record.lane] = record.variants
        elif isinstance(record, PlanAdopted):
            self._asked = _asked(record.text)

    def of(self, job: int, name: str, lane: int) -> str:
        """In words; empty if nothing is told."""
        if not self._read:
            self._read = True
            for _, body in islice(read_records(self._journal), _EARLY):
                self.note(decode(body))
        variants = self._lanes.get((job, lane))
        if variants:
            return ", or ".join(in_words(variant) for variant in variants)
        asked = self._asked.get(name, {})
        return ", ".join(f"{key} {value}" for key, value in asked.items() if key != "or")


def in_words(resources: list[Any]) -> str:
    """Of a node, or of one task."""
    names = ("cores", "GPUs", "GiB memory", "GiB scratch", "IO slots")
    parts = [f"{value:g} {name}" for value, name in zip(resources, names, strict=False) if value]
    return ", ".join(parts) or "nothing stated"


def _asked(text: str) -> dict[str, Any]:
    """{job: its table of resources} of a campaign file."""
    try:
        jobs = cast("list[dict[str, Any]]", tomllib.loads(text).get("job", []))
    except tomllib.TOMLDecodeError:
        return {}
    return {str(job.get("name")): job.get("resources", {}) for job in jobs}
