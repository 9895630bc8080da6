"""Star-gen: a factory for computational materials databases.

The names below are the public face for plugin authors and scripts. They are loaded on first use,
so that a node's agent, which imports a few modules of this package, stays small.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stargen.version import __version__

if TYPE_CHECKING:
    from stargen.calculators.contract import Calculator, CalculatorInfo, Context, Program
    from stargen.crystal import Candidate, Crystal, Drop
    from stargen.model import Resources

_HOMES = {
    "Calculator": "stargen.calculators.contract",
    "CalculatorInfo": "stargen.calculators.contract",
    "Context": "stargen.calculators.contract",
    "Program": "stargen.calculators.contract",
    "Candidate": "stargen.crystal",
    "Crystal": "stargen.crystal",
    "Drop": "stargen.crystal",
    "Resources": "stargen.model",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


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
