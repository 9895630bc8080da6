"""The one expression language: OPTIMADE's filter grammar, for `where`, `db query` and the server.

Source: OPTIMADE specification 1.2, "API Filtering Format Specification". Correlated lists
(``a:b HAS x:y``) are left out; the only list is `elements`, since properties are scalars.

A name is a built-in (`BUILTINS`) or a property of the candidate. An absent value, be it missing,
None or not finite, and a value of another type than it is compared with, is *unknown*. The
specification says that a comparison with an unknown value must not match; as in SQL this holds
under NOT too: a comparison with it is neither true nor false, NOT leaves it so, AND and OR ask the
other side (Kleene's three values), and only what is true matches. IS KNOWN and IS UNKNOWN always
decide.
"""

from __future__ import annotations

from stargen.expressions.matching import Expression, evaluate, getter
from stargen.expressions.parser import parse
from stargen.expressions.tree import BUILTINS, ValueKind, kind_of

__all__ = ["BUILTINS", "Expression", "ValueKind", "evaluate", "getter", "kind_of", "parse"]
