"""Which elements a candidate may hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stargen.calculators.contract import Context
from stargen.crystal import Candidate, Drop
from stargen.elements import SYMBOLS


class Composition:
    """Judges by the set of elements alone."""

    def open(self, context: Context) -> None:
        self._chemistry = context.chemistry
        limits = (context.params.max_elements, context.chemistry.max_elements)
        self._max_elements = min(limit for limit in limits if limit is not None)

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate | Drop]:
        for candidate in candidates:
            fault = self._fault({SYMBOLS[z] for z in set(candidate.crystal.numbers.tobytes())})
            yield candidate.drop(*fault) if fault else candidate

    def close(self) -> None:
        """Nothing is held."""

    def _fault(self, elements: set[str]) -> tuple[str, str] | None:
        """Reason and detail, or None."""
        if len(elements) > self._max_elements:
            return "too many elements", f"{len(elements)}, at most {self._max_elements}"
        if missing := [e for e in self._chemistry.require if e not in elements]:
            return "element missing", " ".join(missing)
        if foreign := sorted(e for e in elements if not self._chemistry.admits(e)):
            return "element not allowed", " ".join(foreign)
        return None
