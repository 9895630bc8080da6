"""INCAR tags of the presets and of the four steps.

The paper states functional, cut-off, k-point distance, EDIFF and EDIFFG; all else of ``paper`` is
VASP's own default or what the step cannot do without.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

Tags = dict[str, Any]

PAPER_KSPACING = 0.2513
"""2 pi x 0.04, 1/Å."""

_PRESETS: dict[str, Tags] = {
    "paper": {"METAGGA": "SCAN", "ENCUT": 500, "EDIFF": 1e-4, "EDIFFG": -1e-3},
    "paper-safe": {
        "METAGGA": "SCAN",
        "ENCUT": 500,
        "EDIFF": 1e-6,  # 1e-4 leaves more noise in the forces than EDIFFG asks them to be below
        "EDIFFG": -1e-3,
        "NELMIN": 6,
        "NELM": 200,
        "LASPH": True,
        "LMIXTAU": True,  # a meta-GGA's kinetic energy density has to be mixed too
        "ADDGRID": False,
    },
    "pbe": {
        "GGA": "PE",
        "ENCUT": 520,
        "EDIFF": 1e-6,
        "EDIFFG": -0.02,
        "NELMIN": 5,
        "NELM": 150,
        "LASPH": True,
    },
}
_KSPACING = {"paper": PAPER_KSPACING, "paper-safe": PAPER_KSPACING, "pbe": 0.22}
_COMMON: Tags = {"PREC": "Accurate", "ISMEAR": 0, "SIGMA": 0.05, "LREAL": False}

RELAX: Tags = {"NSW": 99, "IBRION": 2, "ISIF": 3, "LWAVE": True, "LCHARG": True}
STATIC: Tags = {"NSW": 0, "IBRION": -1, "LWAVE": True, "LCHARG": True}
_LAST: Tags = {"NSW": 0, "IBRION": -1, "LWAVE": False, "LCHARG": False}
DOS: Tags = {**_LAST, "LORBIT": 11}
BANDS: Tags = {**_LAST, "ISMEAR": 0}

_METAL_SIGMA_EV, _GAPPED_SIGMA_EV = 0.2, 0.01
_MORE_BANDS = 1.2
_GGA_NAMES = {
    "pe": "pbe", "--": "pbe", "ps": "pbesol", "re": "revpbe", "rp": "rpbe", "91": "pw91"
}  # fmt: skip
"""VASP's abbreviations; "--" in vasprun.xml stands for what the POTCAR says."""
_A_SLIP = 0.8


class Known(NamedTuple):
    """What the step before found out about this crystal; None where there was none."""

    fermi_ev: float | None = None
    gap_ev: float | None = None
    n_bands: int | None = None


def kspacing_of(preset: str) -> float:
    """Largest distance of k-points, 1/Å."""
    return _KSPACING[preset]


def base_tags(preset: str, numbers: Sequence[int]) -> Tags:
    """What all steps share, for a crystal of these atomic numbers."""
    tags = {**_COMMON, **_PRESETS[preset]}
    if preset != "paper":
        tags["LMAXMIX"] = _lmaxmix(numbers)
    return tags


def is_meta(tags: Mapping[str, Any]) -> bool:
    """Whether the functional needs more than the density, so that ICHARG = 11 would be wrong."""
    return bool(tags.get("METAGGA")) or bool(tags.get("LHFCALC"))


def functional_of(tags: Mapping[str, Any]) -> str:
    """Its name, for the scheme of the energies."""
    if tags.get("LHFCALC"):
        return "hybrid"
    name = str(tags.get("METAGGA") or tags.get("GGA") or "PE").lower()
    name = _GGA_NAMES.get(name, name)
    return f"{name}+u" if tags.get("LDAU") else name


def static_smearing(n_kpoints: int) -> Tags:
    """Tetrahedra want at least four k-points."""
    return {"ISMEAR": -5} if n_kpoints >= 4 else {"ISMEAR": 0, "SIGMA": 0.05}


def dos_window(known: Known, window_ev: float, step_ev: float) -> Tags:
    """Which energies; without a Fermi energy VASP takes all."""
    n_energies = round(2 * window_ev / step_ev) + 1
    tags: Tags = {"NEDOS": n_energies}
    if known.fermi_ev is not None:
        tags["EMIN"] = round(known.fermi_ev - window_ev, 4)
        tags["EMAX"] = round(known.fermi_ev + window_ev, 4)
    return tags | more_bands(known)


def more_bands(known: Known) -> Tags:
    """Empty bands, for what is to be seen above the gap."""
    return {} if known.n_bands is None else {"NBANDS": round(known.n_bands * _MORE_BANDS)}


def band_smearing(known: Known) -> Tags:
    metal = known.gap_ev is not None and known.gap_ev <= 0
    return {"ISMEAR": 0, "SIGMA": _METAL_SIGMA_EV if metal else _GAPPED_SIGMA_EV}


def likely_meant(name: str) -> str | None:
    """The INCAR tag that one which pymatgen does not know is likely a slip for; else None."""
    from pymatgen.io.vasp import inputs

    known = json.loads(Path(inputs.__file__).with_name("incar_parameters.json").read_text("utf-8"))
    if name in known:
        return None
    alike = [tag for tag in known if abs(len(tag) - len(name)) <= 1]
    return next(iter(get_close_matches(name, alike, 1, _A_SLIP)), None)


def _lmaxmix(numbers: Sequence[int]) -> int:
    """Up to which l the one-centre density is mixed: d and f elements need theirs."""
    if any(z in range(57, 72) or z in range(89, 104) for z in numbers):
        return 6
    return 4 if any(z > 20 for z in numbers) else 2
