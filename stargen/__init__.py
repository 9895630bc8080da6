"""Star-gen: a factory for computational materials databases.

The names below are the public face for plugin authors and scripts.
"""

from stargen.calculators.contract import Calculator, CalculatorInfo, Context, Program
from stargen.crystal import Candidate, Crystal, Drop
from stargen.model import Resources
from stargen.version import __version__

__all__ = [
    "Calculator",
    "CalculatorInfo",
    "Candidate",
    "Context",
    "Crystal",
    "Drop",
    "Program",
    "Resources",
    "__version__",
]
