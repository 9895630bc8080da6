"""Streams by an independent reading of the records."""

from __future__ import annotations

from collections.abc import Sequence

from stargen import records
from stargen.scheduling.plan import Plan


def stream_of(log: Sequence[bytes], plan: Plan, index: int) -> list[int]:
    """Where the candidates of a job's stream lie, in order."""
    streams: dict[int, list[int]] = {}
    for body in log:
        record = records.decode(body)
        if isinstance(record, records.TasksFinished):
            for row in record.rows:
                place = row.offset
                for size in row.sizes:
                    streams.setdefault(record.job, []).append(place)
                    place += size
        elif isinstance(record, records.Routed) and plan.jobs[record.job].is_select:
            up = streams[plan.jobs[record.job].inputs[record.input]]
            for i, lane in enumerate(record.lanes):
                if lane >= 0:
                    streams.setdefault(record.job, []).append(up[record.lo + i])
        elif isinstance(record, records.Selected):
            for row in record.rows:
                up = streams[plan.jobs[record.job].inputs[row.input]]
                streams.setdefault(record.job, []).append(up[row.position])
    return streams.get(index, [])
