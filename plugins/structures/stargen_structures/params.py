"""What a campaign may set. Light: this is read where nothing heavy is installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from stargen.typed import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadParams:
    """Where structures come from.

    Parameters
    ----------
    path : a file, a folder (with all below it) or a pattern such as ``data/*.cif``, relative to
        the campaign file
    columns : CSV columns, extended XYZ comment keys or JSON keys beside ``structure`` to keep as
        properties; names become lower case with underscores
    """

    path: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubstituteParams:
    """How hypothetical crystals are made from prototypes.

    Parameters
    ----------
    count : how many to make
    prototypes : AFLOW labels, Strukturbericht symbols, Pearson symbols or mineral names to start
        from; all that can be seen as ionic if empty
    max_atoms : atoms in the primitive cell, at most
    threshold : least probability of a substitution, the product over its species
    """

    count: Annotated[int, Bounds(least=1)]
    prototypes: tuple[str, ...] = ()
    max_atoms: Annotated[int, Bounds(least=1)] = 40
    threshold: Annotated[float, Bounds(least=1e-7, most=1.0)] = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteParams:
    """Where candidates go: one file each, named by candidate, in `folder`.

    Parameters
    ----------
    folder : relative to the campaign file
    format : of the files; extended XYZ and JSON hold the scalar properties too
    """

    folder: str
    format: Literal["cif", "poscar", "extxyz", "json"] = "cif"
