"""Band structures and densities of states as pictures, from the arrays that DFT steps leave.

The arrays are those that the README of stargen-dft lists, whichever engine made them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stargen.crystal import Candidate
from stargen.errors import UserError
from stargen_database.queries import Found

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

ARRAYS = {"bands": "bands_npz", "dos": "dos_npz"}
SUFFIXES = frozenset({".png", ".svg", ".pdf"})

_COLOURS = ("#0072B2", "#D55E00")  # told apart by the colour-blind (Okabe & Ito 2008)
_GREY = "#888888"
_THIN: Any = {"color": _GREY, "linewidth": 0.8, "linestyle": ":"}
_FILLED: Any = {"alpha": 0.25, "linewidth": 0}
_HALF = 0.5


class Zero(NamedTuple):
    """What energies are drawn relative to, eV, and its name."""

    at_ev: float
    name: str


def draw(kind: str, found: Found, candidate: Candidate, window_ev: tuple[float, float]) -> Figure:
    """A picture of a material's bands (with its density of states beside, if known) or the latter.

    Raises
    ------
    UserError : the material has no such arrays
    """
    from matplotlib.figure import Figure

    bands, dos = (_arrays(candidate.data, ARRAYS[name]) for name in ("bands", "dos"))
    if (bands if kind == "bands" else dos) is None:
        raise UserError(
            f"{found.id} has no {'bands' if kind == 'bands' else 'density of states'}",
            hint=f"the steps vasp.{kind} and gpaw.{kind} make them",
        )
    zero = _zero(bands, dos)
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    figure.suptitle(_title(found), fontsize="medium")
    if kind == "dos":
        axes: Any = figure.subplots()
        _draw_dos(axes, dos or {}, zero, window_ev)
        axes.set(xlabel=f"energy above {zero.name} (eV)", ylabel="states/(eV cell)")
    elif dos is None:
        axes = figure.subplots()
        _draw_bands(axes, bands or {}, zero, window_ev)
    else:
        axes, beside = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
        _draw_bands(axes, bands or {}, zero, window_ev)
        _draw_dos(beside, dos, zero, window_ev, upright=True)
        beside.set(xlabel="states/(eV cell)")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write the picture in the form that its suffix says.

    Raises
    ------
    UserError : the suffix says nothing known, or the file cannot be written
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{path.name}: pictures are {', '.join(sorted(SUFFIXES))}", hint="name it so"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error}") from error


def _arrays(data: Mapping[str, Any], name: str) -> dict[str, NDArray[Any]] | None:
    packed = data.get(name)
    if packed is None:
        return None
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        return {each: arrays[each] for each in arrays.files}


def _zero(bands: Mapping[str, Any] | None, dos: Mapping[str, Any] | None) -> Zero:
    """The top of the valence band where there is a gap along the path, else the Fermi energy."""
    if bands is not None:
        full = bands["occupations"] > _HALF
        levels = bands["eigenvalues_ev"]
        counts = full.sum(axis=2)
        if (counts.min(axis=1) == counts.max(axis=1)).all() and full.any() and not full.all():
            top = levels[full].max()
            if levels[~full].min() > top:
                return Zero(float(top), "the valence band")
    fermi = [float(each["fermi_ev"]) for each in (bands, dos) if each is not None]
    known = [value for value in fermi if np.isfinite(value)]
    return Zero(known[0], "the Fermi energy") if known else Zero(0.0, "the engine's zero")


def _draw_bands(
    axes: Axes, bands: Mapping[str, Any], zero: Zero, window_ev: tuple[float, float]
) -> None:
    distances, starts = bands["distances"], [int(at) for at in bands["starts"]]
    edges = [*starts, len(distances)]
    for spin, levels in enumerate(bands["eigenvalues_ev"]):
        for begin, end in pairwise(edges):
            axes.plot(
                distances[begin:end],
                levels[begin:end] - zero.at_ev,
                color=_COLOURS[spin],
                linewidth=1.2,
                linestyle="--" if spin else "-",
            )
    ticks = _ticks(bands)
    for at in ticks:
        axes.axvline(at, color=_GREY, linewidth=0.5)
    axes.axhline(0.0, **_THIN)
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set(xlim=(distances[0], distances[-1]), ylim=window_ev)
    axes.set_ylabel(f"energy above {zero.name} (eV)")
    _name_spins(axes, len(bands["eigenvalues_ev"]))


def _ticks(bands: Mapping[str, Any]) -> dict[float, str]:
    """{distance: label}; where one branch ends and another begins, both names."""
    ticks: dict[float, str] = {}
    for index, label in zip(bands["label_indices"], bands["labels"], strict=True):
        at = float(bands["distances"][index])
        before = ticks.get(at)
        ticks[at] = str(label) if before in (None, str(label)) else f"{before}|{label}"
    return ticks


def _draw_dos(
    axes: Axes,
    dos: Mapping[str, Any],
    zero: Zero,
    window_ev: tuple[float, float],
    *,
    upright: bool = False,
) -> None:
    energies = dos["energies_ev"] - zero.at_ev
    shown = (energies >= window_ev[0]) & (energies <= window_ev[1])
    for spin, density in enumerate(dos["densities"]):
        signed = (-density if spin else density)[shown]
        if upright:
            axes.plot(signed, energies[shown], color=_COLOURS[spin], linewidth=1.0)
            axes.fill_betweenx(energies[shown], signed, color=_COLOURS[spin], **_FILLED)
        else:
            axes.plot(energies[shown], signed, color=_COLOURS[spin], linewidth=1.0)
            axes.fill_between(energies[shown], signed, color=_COLOURS[spin], **_FILLED)
    spins = len(dos["densities"])
    if upright:
        axes.axhline(0.0, **_THIN)
        axes.set(ylim=window_ev, xlim=(0.0 if spins == 1 else None, None))
    else:
        axes.axvline(0.0, **_THIN)
        axes.set(xlim=window_ev, ylim=(0.0 if spins == 1 else None, None))
        _name_spins(axes, spins)


def _name_spins(axes: Axes, spins: int) -> None:
    if spins > 1:
        from matplotlib.lines import Line2D

        lines = [Line2D([], [], color=colour) for colour in _COLOURS]
        axes.legend(lines, ["spin up", "spin down"], fontsize="small", loc="upper right")


def _title(found: Found) -> str:
    parts = [f"{found.formula}   {found.id}"]
    gap, direct = found.value("band_gap"), found.value("gap_is_direct")
    if isinstance(gap, float | int):
        kind = "" if gap <= 0 else " direct" if direct else " indirect"
        parts.append("metal" if gap <= 0 else f"gap {gap:.2f} eV{kind}")
    if isinstance(found.value("engine"), str):
        parts.append(str(found.value("engine")))
    return ",  ".join(parts)
