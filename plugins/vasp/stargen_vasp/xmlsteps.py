"""The ionic steps of a vasprun.xml, read one after another, as far as the file goes.

A file cut off in the middle keeps what was finished before: each `<calculation>` is handed out when
its end is seen, and then forgotten, so a long trajectory costs no memory.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pymatgen.core import Structure


class XmlStep(NamedTuple):
    """One finished ionic step.

    Parameters
    ----------
    energy_ev : e_0_energy, extrapolated to no smearing
    lattice : (3, 3) Å; frac_coords : (n, 3)
    forces : (n, 3) eV/Å, None if absent
    stress_kbar : (3, 3), None if absent
    """

    energy_ev: float
    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    forces: NDArray[np.float64] | None
    stress_kbar: NDArray[np.float64] | None


class XmlRun(NamedTuple):
    """What a file tells, whole or not: version of the program, elements, finished steps."""

    version: str
    symbols: list[str]
    steps: list[XmlStep]
    whole: bool


def read(path: Path) -> XmlRun:
    """All finished steps of a file, whole or not; of an absent one none."""
    version, symbols, steps, whole = "", [], [], False
    try:
        for kind, value in _events(path):
            if kind == "step":
                steps.append(value)
            elif kind == "atoms":
                symbols = value
            elif kind == "version":
                version = value
            else:
                whole = True
    except (ElementTree.ParseError, OSError, EOFError, ValueError):
        pass  # cut off here; what was handed out before is sound
    return XmlRun(version, symbols, steps, whole)


def energies(folder: Path) -> list[float]:
    """Energies (eV) of the steps that the run in a folder has finished."""
    return [step.energy_ev for step in read(folder / "vasprun.xml").steps]


def last_structure(path: Path) -> Structure | None:
    """The positions of the last finished step."""
    from pymatgen.core import Lattice, Structure

    run = read(path)
    if not run.steps or len(run.symbols) != len(run.steps[-1].frac_coords):
        return None
    last = run.steps[-1]
    return Structure(Lattice(last.lattice), run.symbols, last.frac_coords)


def _events(path: Path) -> Iterator[tuple[str, object]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        for _, element in ElementTree.iterparse(file, events=("end",)):
            match element.tag:
                case "generator":
                    yield (
                        "version",
                        " ".join(
                            (i.text or "").strip()
                            for i in element.findall("i")
                            if i.get("name") in ("program", "version", "subversion")
                        ),
                    )
                case "atominfo":
                    rows = element.findall("array[@name='atoms']/set/rc")
                    yield "atoms", [_symbol(row[0].text or "") for row in rows]
                    element.clear()
                case "calculation":
                    step = _step(element)
                    if step is not None:
                        yield "step", step
                    element.clear()
                case "modeling":
                    yield "whole", None
                case _:
                    pass


def _symbol(text: str) -> str:
    """VASP cuts some symbols short."""
    return {"X": "Xe", "r": "Zr"}.get(text.strip(), text.strip())


def _step(element: ElementTree.Element) -> XmlStep | None:
    structure = element.find("structure")
    energy = element.find("energy/i[@name='e_0_energy']")
    if structure is None or energy is None:
        return None
    lattice = _array(structure.find("crystal/varray[@name='basis']"))
    positions = _array(structure.find("varray[@name='positions']"))
    if lattice is None or positions is None:
        return None
    return XmlStep(
        # VASP 6 writes e_0_energy of the energy block wrongly in some releases; the last
        # electronic step has it right.
        _last_e0(element, float(energy.text or "nan")),
        lattice,
        positions,
        _array(element.find("varray[@name='forces']")),
        _array(element.find("varray[@name='stress']")),
    )


def _last_e0(element: ElementTree.Element, otherwise: float) -> float:
    steps = element.findall("scstep/energy/i[@name='e_0_energy']")
    return float(steps[-1].text or "nan") if steps else otherwise


def _array(element: ElementTree.Element | None) -> NDArray[np.float64] | None:
    if element is None:
        return None
    return np.array([[float(word) for word in (v.text or "").split()] for v in element])
