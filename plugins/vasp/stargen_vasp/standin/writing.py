"""OSZICAR, OUTCAR, CONTCAR and the placeholders, written line by line as a run goes on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
from numpy.typing import NDArray

from stargen_vasp.standin.job import Job

if TYPE_CHECKING:
    from ase import Atoms

VERSION = "1.0"
BANNER = f"stand-in for vasp {VERSION}: numbers of an ASE calculator, no DFT"
WAVECAR_MAGIC = b"stand-in WAVECAR\n"
_KBAR_PER_EV_ANG3 = 1602.1766208


class Outcar:
    """OUTCAR with OSZICAR and standard output beside it."""

    def __init__(self, folder: Path, job: Job) -> None:
        self._folder = folder
        self._job = job
        self._out: TextIO = (folder / "OUTCAR").open("w")
        self._osz: TextIO = (folder / "OSZICAR").open("w")
        self.began = self._step_began = time.monotonic()
        self._head()

    def _head(self) -> None:
        job = self._job
        atoms = job.atoms
        self._lines(
            f" {BANNER}",
            " running on    1 total cores",
            *(f" POTCAR:    {title}" for title in job.titles),
            *(f"   TITEL  = {title}" for title in job.titles),
            f"   k-points           NKPTS = {len(job.kpoints):6d}   NKDIM = {len(job.kpoints):6d}"
            f"   number of bands    NBANDS= {job.n_bands:6d}",
            f"   number of dos      NEDOS =    301   number of ions     NIONS = {len(atoms):6d}",
            "   total plane-waves  NPLWV =   4096",
            f"   NELECT = {job.n_electrons:12.4f}    total number of electrons",
        )
        print(f" {BANNER}", " running on    1 total cores", sep="\n", flush=True)

    def electronic(self, number: int, energy: float, change: float) -> None:
        """One electronic step."""
        line = f"DAV: {number:3d}    {energy: .12E}   {change: .5E}   {change: .5E}   100   1.0E-02"
        if number == 1:
            self._osz.write("       N       E                     dE             d eps       ncg\n")
        self._osz.write(line + "\n")
        self._osz.flush()
        print(line, flush=True)
        self._lines("      LOOP:  cpu time    0.0010: real time    0.0010", _electrons(self._job))

    def electrons_done(self, converged: bool) -> None:
        """The loop of electronic steps is over."""
        why = "EDIFF is reached" if converged else "NELM is reached"
        self._lines(
            f"------------------------ aborting loop because {why} -------------------------"
            if converged
            else "------------------------ aborting loop EDIFF was not reached (unconverged) ----"
        )

    def ionic(self, number: int, atoms: Atoms, energy: float, change: float, efermi: float) -> None:
        """One ionic step is finished."""
        forces, stress = atoms.get_forces(), stress_kbar(atoms)
        mag = "  mag=     0.0000" if self._job.whole("ISPIN", 1) == 2 else ""
        line = f"{number:4d} F= {energy: .8E} E0= {energy: .8E}  d E ={change: .6E}{mag}"
        now = time.monotonic()
        self._osz.write(line + "\n")
        self._osz.flush()
        print(line, flush=True)
        self._lines(
            f" E-fermi : {efermi:9.4f}     XC(G=0):  -1.0     alpha+bet : -1.0",
            "  FORCE on cell =-STRESS in cart. coord.  units (eV):",
            "  in kB   " + " ".join(f"{s:11.5f}" for s in _voigt(stress)),
            f"  external pressure = {np.trace(stress) / 3:11.2f} kB  Pullay stress = 0.00 kB",
            f"  volume of cell : {atoms.get_volume():10.2f}",
            " POSITION                                       TOTAL-FORCE (eV/Angst)",
            " " + "-" * 83,
            *(_row(x, f) for x, f in zip(atoms.positions, forces, strict=True)),
            " " + "-" * 83,
            "    total drift:                                0.000000      0.000000      0.000000",
            "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)",
            f"  free  energy   TOTEN  = {energy:18.8f} eV",
            f"  energy  without entropy= {energy:18.8f}  energy(sigma->0) = {energy:18.8f}",
            f"     LOOP+:  cpu time {now - self._step_began:10.4f}: real time "
            f"{now - self._step_began:10.4f}",
        )
        self._step_began = now

    def say(self, *lines: str) -> None:
        """Into OUTCAR and on standard output."""
        self._lines(*lines)
        print(*lines, sep="\n", flush=True)

    def close(self) -> None:
        """The closing tables, which prove that the run came to its end."""
        seconds = time.monotonic() - self.began
        self._lines(
            _electrons(self._job),
            " General timing and accounting informations for this job:",
            " " + "=" * 56,
            *(
                f"{name:>40s}: {value:12.3f}"
                for name, value in (
                    ("Total CPU time used (sec)", seconds),
                    ("User time (sec)", seconds),
                    ("System time (sec)", 0.0),
                    ("Elapsed time (sec)", seconds),
                )
            ),
            f"{'Maximum memory used (kb)':>40s}:      100000.",
            f"{'Average memory used (kb)':>40s}:           0.",
        )
        self._out.close()
        self._osz.close()

    def _lines(self, *lines: str) -> None:
        self._out.write("\n".join(lines) + "\n")
        self._out.flush()


def stress_kbar(atoms: Atoms) -> NDArray[np.float64]:
    """(3, 3), with VASP's sign: positive where the cell wants to grow."""
    return -_KBAR_PER_EV_ANG3 * atoms.get_stress(voigt=False)


def write_contcar(path: Path, job: Job, atoms: Atoms) -> None:
    species = [title.split()[1].split("_")[0] for title in job.titles]
    lines = [job.comment, "1.0", *(_numbers(row) for row in atoms.cell.array)]
    lines += [" ".join(species), " ".join(map(str, job.counts)), "Direct"]
    lines += [_numbers(row) for row in atoms.get_scaled_positions()]
    path.write_text("\n".join(lines) + "\n")


def write_placeholders(folder: Path, job: Job) -> None:
    """CHGCAR and WAVECAR that hold nothing but the name of who wrote them."""
    if job.flag("LCHARG", True):
        (folder / "CHGCAR").write_text(f"{BANNER}\n")
    if job.flag("LWAVE", True):
        (folder / "WAVECAR").write_bytes(WAVECAR_MAGIC)


def _electrons(job: Job) -> str:
    return f" number of electron  {job.n_electrons:12.7f} magnetization       0.0000000"


def _voigt(stress: NDArray[np.float64]) -> Iterable[float]:
    return (stress[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0)))


def _row(position: NDArray[np.float64], force: NDArray[np.float64]) -> str:
    return " ".join(f"{x:12.5f}" for x in position) + "   " + " ".join(f"{f:13.6f}" for f in force)


def _numbers(row: NDArray[np.float64]) -> str:
    return " ".join(f"{x:21.16f}" for x in row)
