"""A library of POTCARs without potentials: enough for pymatgen and for the stand-in to read.

`stargen-mock-potcars FOLDER` writes it; PMG_VASP_PSP_DIR=FOLDER makes pymatgen find it. A real VASP
refuses these files.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from stargen.elements import SYMBOLS

RELEASE = "POT_GGA_PAW_PBE_54"
_NOBLE = (2, 10, 18, 36, 54, 86)
_CUT_OFF_EV = 300.0

_TEXT = """\
  PAW_PBE {symbol} standin
   {valence:.10f}
 parameters from PSCTR are:
   VRHFIN ={element}: stand-in
   LEXCH  = PE
   EATOM  =     1.0000 eV,    0.1000 Ry

   TITEL  = PAW_PBE {symbol} standin
   LULTRA =        F    use ultrasoft PP ?
   IUNSCR =        0    unscreen: 0-lin 1-nonlin 2-no
   RPACOR =     .000    partial core radius
   POMASS =   10.000; ZVAL   = {valence:8.3f}    mass and valenz
   RCORE  =    1.500    outmost cutoff radius
   RWIGS  =    1.500; RWIGS  =    1.500    wigner-seitz radius (au A)
   ENMAX  =  {cut_off:.3f}; ENMIN  =  {least:.3f} eV
   ICORE  =        3    local potential
   LCOR   =        T    correct aug charges
   LPAW   =        T    paw PP
   EAUG   =  400.000
   DEXC   =     .000
   RMAX   =    1.600    core radius for proj-oper
   RAUG   =    1.300    factor for augmentation sphere
   RDEP   =    1.500    radius for radial grids
   QCUT   =   -5.000; QGAM   =   10.000    optimization parameters
END of PSCTR-controll parameters
 no potential: this file stands in for a licensed one
  0.0 1.0
 End of Dataset
"""


def write_library(folder: Path, symbols: Iterable[str]) -> Path:
    """One POTCAR for each symbol ("Ti", "Ti_pv", ...) under `folder`, which is returned."""
    place = folder / RELEASE
    for symbol in symbols:
        (place / symbol).mkdir(parents=True, exist_ok=True)
        (place / symbol / "POTCAR").write_text(text_of(symbol), encoding="utf-8")
    return folder


def text_of(symbol: str) -> str:
    """A POTCAR with a header and nothing behind it."""
    element = symbol.split("_")[0]
    return _TEXT.format(
        symbol=symbol,
        element=element,
        valence=float(_valence(SYMBOLS.index(element))),
        cut_off=_CUT_OFF_EV,
        least=0.75 * _CUT_OFF_EV,
    )


def _valence(z: int) -> int:
    """Electrons outside the noble gas's shell and outside filled d and f shells."""
    core = max((noble for noble in _NOBLE if noble < z), default=0)
    outside = z - core
    if core >= 54 and outside > 16:
        outside -= 14
    return outside - 10 if core >= 18 and outside > 12 else outside


def main() -> None:
    """Write the library for all elements."""
    from pymatgen.io.vasp.sets import MPScanRelaxSet

    parser = argparse.ArgumentParser(prog="stargen-mock-potcars", description=__doc__)
    parser.add_argument("folder", type=Path, help="where to")
    folder = parser.parse_args().folder
    write_library(folder, dict(MPScanRelaxSet.CONFIG["POTCAR"]).values())
    print(f"export PMG_VASP_PSP_DIR={folder.resolve()}")
