"""Correction schemes: which energies may stand on one hull.

A scheme is written ``METHOD/SCALE``. Energies of candidates must share the whole scheme; reference
phases and elements must share its scale, which says what corrections the energies carry. CHGNet
0.3.0 learnt energies corrected by MaterialsProject2020Compatibility, so its ``chgnet-0.3.0/mp2020``
and the Materials Project's own ``mp2020`` go together, and neither goes with plain PBE energies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from stargen.errors import UserTaskError


def scale_of(scheme: str) -> str:
    """The part that says what corrections the energies carry."""
    return scheme.rsplit("/", 1)[-1]


def single_scheme(schemes: Iterable[str]) -> str | None:
    """The one scheme of all energies; None if there are none.

    Raises
    ------
    UserTaskError : if there are several; names each
    """
    seen = Counter(schemes)
    if len(seen) > 1:
        found = ", ".join(f"{scheme} ({n})" for scheme, n in sorted(seen.items()))
        raise UserTaskError(f"energies of different schemes cannot share a hull: {found}")
    return next(iter(seen), None)


def require_scale(scheme: str, scale: str, what: str) -> None:
    """Refuse to mix scales.

    Raises
    ------
    UserTaskError : if `scheme` is not on `scale`, which is that of `what`
    """
    if scale_of(scheme) != scale:
        raise UserTaskError(
            f"candidates have energies of scheme {scheme}, but {what} has {scale}: "
            "their corrections differ, so no hull can hold both"
        )
