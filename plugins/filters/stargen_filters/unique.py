"""One of each: within a reduced formula the first in journal order represents its like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stargen.calculators.contract import Context
from stargen.crystal import Candidate, Drop
from stargen_filters.fingerprint import Fingerprint
from stargen_filters.gallery import Gallery, Matcher
from stargen_filters.params import UniqueParams


class Unique:
    """Fingerprints travel with the candidates that are kept, so none is computed twice."""

    def open(self, context: Context) -> None:
        self._params: UniqueParams = context.params
        self._matcher = Matcher(self._params)

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate | Drop]:
        gallery = Gallery(self._matcher, self._params.threshold)
        for kept in context.kept:
            gallery.add(kept.candidate_id, Fingerprint.carried(kept, self._params))
        for candidate in candidates:
            yield self._judge(candidate, gallery)

    def close(self) -> None:
        """Nothing is held."""

    def _judge(self, candidate: Candidate, gallery: Gallery) -> Candidate | Drop:
        try:
            fingerprint = Fingerprint.carried(candidate, self._params)
        except ValueError:
            return candidate.drop("cell is singular")
        match = gallery.find(fingerprint)
        if match is not None:
            return candidate.drop("duplicate", f"of {match.name}, rms {match.rms:.4f}")
        gallery.add(candidate.candidate_id, fingerprint)
        return candidate.with_(data=fingerprint.as_data(self._params))
