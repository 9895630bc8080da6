"""Chemical symbols by atomic number, without a chemistry library."""

from __future__ import annotations

from math import gcd

_TABLE = """
X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb
Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf
Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
SYMBOLS: tuple[str, ...] = tuple(_TABLE.split())
"""SYMBOLS[Z] is the symbol of atomic number Z; index 0 is the placeholder X."""

ATOMIC_NUMBERS: dict[str, int] = {symbol: z for z, symbol in enumerate(SYMBOLS) if z}


def counts(numbers: bytes) -> dict[int, int]:
    """How many atoms of each atomic number; keys in ascending order.

    Parameters
    ----------
    numbers : bytes, one atomic number each
    """
    return {z: numbers.count(z) for z in sorted(set(numbers))}


def reduced_formula(numbers: bytes) -> str:
    """Reduced chemical formula, symbols in alphabetical order, e.g. ``LiNbO3``, ``O2Ti``.

    Source: OPTIMADE 1.2, ``chemical_formula_reduced``.
    """
    amounts = counts(numbers)
    divisor = gcd(*amounts.values()) if amounts else 1
    named = sorted((SYMBOLS[z], n // divisor) for z, n in amounts.items())
    return "".join(f"{symbol}{n if n > 1 else ''}" for symbol, n in named)


def formula_elements(formula: str) -> tuple[str, ...]:
    """The element symbols of a formula without brackets, in order of appearance."""
    found: list[str] = []
    symbol = ""
    for char in formula:
        if char.isupper():
            if symbol:
                found.append(symbol)
            symbol = char
        elif char.islower():
            symbol += char
    if symbol:
        found.append(symbol)
    return tuple(dict.fromkeys(found))
