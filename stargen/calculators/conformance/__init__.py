"""The checks that every calculator passes, for the tests of those who write one.

    from stargen.calculators.conformance import check

    def test_it_keeps_the_contract():
        assert check(my_info) == []

`check` reads the info, then runs the calculator on a few crystals through the code that runs it in
a campaign: once, again, in other batches, and resumed. `LocalContext` and `run` serve tests of what
it computes.
"""

from stargen.calculators.conformance.kit import check
from stargen.calculators.conformance.samples import sample_candidates, sample_crystals
from stargen.calculators.conformance.trial import Flaw, LocalContext, run

__all__ = ["Flaw", "LocalContext", "check", "run", "sample_candidates", "sample_crystals"]
