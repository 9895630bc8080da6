"""Plans without a campaign file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stargen.model import JobSpec


def joined(specs: Sequence[JobSpec]) -> list[dict[str, Any]]:
    """What a `JobPlan` says of each job's place among the others, upstream ones first."""
    names = [spec.name for spec in specs]
    return [
        {
            "index": index,
            "inputs": tuple(names.index(name) for name in spec.inputs),
            "outputs": tuple(i for i, other in enumerate(specs) if spec.name in other.inputs),
        }
        for index, spec in enumerate(specs)
    ]
