"""New or known: the search of `filters.unique`, among the crystals of a reference file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache

from stargen.calculators.contract import Context
from stargen.crystal import Candidate, Drop
from stargen.errors import UserTaskError
from stargen_filters.fingerprint import Fingerprint
from stargen_filters.gallery import Gallery, Matcher
from stargen_filters.params import NovelParams
from stargen_filters.reference import ReferenceSet

_log = logging.getLogger(__name__)
_GALLERIES = 1024
"""Formulas whose reference crystals a worker keeps ready."""


class Novel:
    """Candidates of one formula come to one worker at a time, so a formula is prepared once."""

    def open(self, context: Context) -> None:
        self._params: NovelParams = context.params
        try:
            path = context.input_file(self._params.reference)
            self._reference = ReferenceSet(path, self._params, context)
        except (ValueError, OSError) as error:
            raise UserTaskError(f"reference {self._params.reference}: {error}") from error
        self._matcher = Matcher(self._params)
        self._gallery = lru_cache(_GALLERIES)(self._prepare)

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate | Drop]:
        for candidate in candidates:
            yield self._judge(candidate)

    def close(self) -> None:
        """The reference goes with the process."""

    def _judge(self, candidate: Candidate) -> Candidate | Drop:
        try:
            fingerprint = Fingerprint.carried(candidate, self._params)
        except ValueError:
            return candidate.drop("cell is singular")
        match = self._gallery(candidate.crystal.formula).find(fingerprint)
        if match is not None:
            return candidate.drop("known", f"as {match.name}, rms {match.rms:.4f}")
        data = fingerprint.as_data(self._params)
        return candidate.with_(data=data, novel_against=self._params.reference)

    def _prepare(self, formula: str) -> Gallery:
        gallery = Gallery(self._matcher, self._params.threshold)
        for name, crystal in self._reference.crystals(formula):
            try:
                gallery.add(name, Fingerprint.of(crystal, self._params))
            except ValueError as error:
                _log.warning("reference crystal %s is left out: %s", name, error)
        return gallery
