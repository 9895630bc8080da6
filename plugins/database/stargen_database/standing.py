"""What is known of one candidate, folded item by item in the journal's order; pure.

Jobs may branch, so a candidate can come out of several and be dropped by one of them. The furthest
job it came out of is its stage. What it came out of a last job with is kept for good; otherwise the
furthest word counts, be it a verdict or an arrival.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stargen.crystal import Drop, Envelope, Scalar

ALIVE, KEPT, DROPPED, QUARANTINED = "alive", "kept", "dropped", "quarantined"

_STAND_IN = "stand-in"
_OF_ENGINES = frozenset(
    {"energy_per_atom", "energy_scheme", "max_force", "pressure_gpa", "magnetization", "converged"}
    | {"band_gap", "band_gap_direct", "gap_is_direct", "fermi_energy"}
)
"""What a DFT program computes."""


def as_stored(properties: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Properties by the names under which they are kept.

    An `engine` that calls itself a stand-in computes nothing: what it gave in place of DFT never
    gets DFT's names, so that no filter, column or export takes it for that.
    """
    if not str(properties.get("engine") or "").startswith(_STAND_IN):
        return dict(properties)
    return {
        f"standin_{name}" if name in _OF_ENGINES else name: value
        for name, value in properties.items()
    }


class Jobs:
    """The campaign's jobs: how far down each lies, and which are last.

    Parameters
    ----------
    inputs : {name: names of its inputs}, upstream jobs first
    """

    def __init__(self, inputs: Mapping[str, Sequence[str]]) -> None:
        self.inputs = {name: tuple(of) for name, of in inputs.items()}
        self._ranks = {name: rank for rank, name in enumerate(self.inputs)}
        taken = {name for of in self.inputs.values() for name in of}
        self._last = frozenset(self.inputs) - taken

    def rank(self, job: str | None) -> int:
        """Position in breadth-first order; -1 for a job of a former version of the campaign."""
        return -1 if job is None else self._ranks.get(job, -1)

    def is_last(self, job: str) -> bool:
        """True if nobody takes what comes out of it."""
        return job in self._last


@dataclass(slots=True)
class Standing:
    """One candidate's row in the making.

    Parameters
    ----------
    row_id : its key in `material`; None if it is new
    stored_formula : what its row says
    envelope : what it was when it came furthest; None as long as it never arrived
    entry : its bytes then, if they are to be written
    """

    candidate_id: str
    row_id: int | None = None
    stored_formula: str | None = None
    envelope: Envelope | None = None
    entry: bytes | None = None
    stage: str | None = None
    status: str = ALIVE
    verdict_job: str | None = None
    reason: str | None = None
    detail: str | None = None
    properties: dict[str, Scalar] = field(default_factory=dict[str, Scalar])

    def arrive(self, job: str, envelope: Envelope, entry: bytes, jobs: Jobs) -> None:
        """It came out of a job."""
        told = as_stored(envelope.properties)
        if self.stage is None or jobs.rank(job) >= jobs.rank(self.stage):
            self.stage, self.envelope, self.entry = job, envelope, entry
            self.properties = {**self.properties, **told}
        else:
            self.properties = {**told, **self.properties}
        if jobs.is_last(job):
            self._set(KEPT)
        elif self.status != KEPT and jobs.rank(job) >= jobs.rank(self.verdict_job):
            self._set(ALIVE)

    def end(self, status: str, job: str, drop: Drop, jobs: Jobs) -> None:
        """A job dropped it or set it aside."""
        if self.status != KEPT and jobs.rank(job) >= jobs.rank(self.stage):
            self._set(status, job, drop.reason, drop.detail)

    def _set(
        self, status: str, job: str | None = None, reason: str | None = None, detail: str = ""
    ) -> None:
        self.status, self.verdict_job, self.reason = status, job, reason
        self.detail = detail or None
