"""Charge neutrality by the rules of SMACT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from stargen.calculators.contract import Context
from stargen.crystal import Candidate, Drop
from stargen.elements import SYMBOLS, counts
from stargen_filters.neutrality import Neutrality
from stargen_filters.oxidation import element_table
from stargen_filters.params import STATE_SETS, ChargeParams

_KNOWN_COMPOSITIONS = 100_000
"""Verdicts remembered per worker; generators come back to the same formulas often."""


class Charge:
    """Stores which rule accepted a composition beside the rules in force.

    Source: Davies et al., J. Open Source Softw. 4, 1361 (2019), with the product over oxidation
    states replaced by sets of reachable charges (`stargen_filters.neutrality`).
    """

    def open(self, context: Context) -> None:
        params: ChargeParams = context.params
        file = None if params.states in STATE_SETS else context.input_file(params.states)
        table = element_table(params.states, file, mixed_valence=params.mixed_valence)
        rules = Neutrality(table, pauling=params.pauling, alloys=params.alloys)
        self._rules = params.rules
        self._verdict = lru_cache(_KNOWN_COMPOSITIONS)(
            lambda amounts: rules.verdict({SYMBOLS[z]: n for z, n in amounts})
        )

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate | Drop]:
        for candidate in candidates:
            amounts = counts(candidate.crystal.numbers.tobytes())
            verdict = self._verdict(tuple(amounts.items()))
            if verdict is None:
                yield candidate.drop("charge not balanced", self._rules)
            else:
                yield candidate.with_(charge_verdict=verdict, charge_rules=self._rules)

    def close(self) -> None:
        """The tables go with the process."""
