"""smact's element tables as plain dictionaries; read once, when a worker opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stargen_filters.params import STATE_SETS

_LOOKUPS = {
    "icsd24": "lookup_element_oxidation_states_icsd24",
    "icsd16": "lookup_element_oxidation_states_icsd",
    "smact14": "lookup_element_oxidation_states",
    "pymatgen_sp": "lookup_element_oxidation_states_sp",
    "wiki": "lookup_element_oxidation_states_wiki",
}


@dataclass(frozen=True, slots=True)
class ElementTable:
    """What the charge rules know of the elements, by symbol.

    Parameters
    ----------
    states : oxidation states; an element without any cannot be part of an ionic compound
    electronegativity : Pauling's; elements without one are left out
    metals : what counts as a metal for the alloy rule (germanium, tin and antimony among them)
    mixed : elements that may take several states at once
    """

    states: Mapping[str, tuple[int, ...]]
    electronegativity: Mapping[str, float]
    metals: frozenset[str]
    mixed: frozenset[str] = frozenset()


def element_table(states: str, file: Path | None, *, mixed_valence: bool) -> ElementTable:
    """The rules' tables.

    Parameters
    ----------
    states : name of a set
    file : the user's own set, read instead where given
    mixed_valence : load the list of mixed-valence elements, which costs an import of pymatgen
    """
    from smact import data_loader, metals, ordered_elements

    elements = ordered_elements(1, 103)
    rows = {e: data_loader.lookup_element_data(e) for e in elements}
    mixed: frozenset[str] = frozenset()
    if mixed_valence:
        from smact.screening import MIXED_VALENCE_ELEMENTS as mixed
    return ElementTable(
        states=_states_of_file(file) if file else _states_of_set(states, elements),
        electronegativity={
            e: row["el_neg"] for e, row in rows.items() if row and row["el_neg"] is not None
        },
        metals=frozenset(metals),
        mixed=mixed,
    )


def atomic_masses() -> dict[int, float]:
    """Relative atomic masses by atomic number, as far as smact has them (1 to 103)."""
    from smact import data_loader, ordered_elements

    rows = (data_loader.lookup_element_data(e) for e in ordered_elements(1, 103))
    return {int(row["Z"]): float(row["Mass"]) for row in rows if row}


def _states_of_set(name: str, elements: list[str]) -> dict[str, tuple[int, ...]]:
    if name == STATE_SETS[0]:
        from smact.utils.oxidation import ICSD24OxStatesFilter

        table = ICSD24OxStatesFilter().filter(consensus=3)
        return {
            str(symbol): tuple(int(q) for q in str(states).split())
            for symbol, states in zip(table["element"], table["oxidation_state"], strict=True)
        }
    from smact import data_loader

    lookup: Callable[[str], Any] = getattr(data_loader, _LOOKUPS[name])
    return {symbol: tuple(states) for symbol in elements if (states := lookup(symbol))}


def _states_of_file(file: Path) -> dict[str, tuple[int, ...]]:
    from smact.data_loader import lookup_element_oxidation_states_custom

    table: Any = lookup_element_oxidation_states_custom("all", str(file))
    return {symbol: tuple(states) for symbol, states in table.items() if states}
