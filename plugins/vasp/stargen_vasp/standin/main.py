"""`stargen-mock-vasp`: a stand-in for vasp_std, for tests and for trying a campaign out.

It reads the real inputs, takes energies, forces and stresses from an ASE calculator, invents bands,
writes files that are read like VASP's, honours STOPCAR, and fails on demand (`faults.py`). Set by
the environment:

    STARGEN_MOCK_VASP_CALCULATOR   emt or lj; emt where it knows the elements if not set
    STARGEN_MOCK_VASP_SECONDS      how long an ionic step takes at least
    STARGEN_MOCK_VASP_GAP          band gap in eV; 1 (0 where EMT is used) if not set
    STARGEN_MOCK_VASP_FAULTS       a plan of faults
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stargen_vasp.standin import electrons, writing
from stargen_vasp.standin.faults import Faults
from stargen_vasp.standin.job import BadInput, Job, read
from stargen_vasp.standin.xml import VasprunXml, last_part

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

_EMT_ELEMENTS = frozenset({"Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt"})
_LEAST_LENGTH_ANG = 1.2
_FALL_PER_STEP = 8.0
_BOUND_EV, _FAR_UP_EV = 4.0, 1e3


class Run:
    """One run in `folder`."""

    def __init__(self, folder: Path, job: Job, faults: Faults) -> None:
        self._folder = folder
        self._job = job
        self._faults = faults
        self._pause_s = float(os.environ.get("STARGEN_MOCK_VASP_SECONDS", "0"))
        self._calculator, name = calculator_for(job.atoms)
        usual = "0" if name == "emt" else "1"
        self._gap_ev = float(os.environ.get("STARGEN_MOCK_VASP_GAP", usual))
        self._deaf = faults.has("ignores-stopcar")
        self._outcar = writing.Outcar(folder, job)
        self._xml = VasprunXml(folder / "vasprun.xml", job, name)
        self._stopped = ""

    def go(self) -> None:
        """All ionic steps, and the closing of the files."""
        job, outcar = self._job, self._outcar
        spins = job.whole("ISPIN", 1)
        levels = electrons.levels(job.kpoints, job.n_bands, job.n_electrons, self._gap_ev)
        last, most = 0.0, max(1, job.whole("NSW", 0))
        for number, converged in self._relaxation():
            energy = self._energy()
            energies = self._electronic_steps(energy)
            time.sleep(self._pause_s)
            self._faults.at_step(number)
            outcar.ionic(
                number, self._atoms, energy, energy - last if last else 0.0, levels.fermi_ev
            )
            last = energy
            writing.write_contcar(self._folder / "CONTCAR", job, self._atoms)
            at_end = converged or number >= most or self._stop_asked("LSTOP") or self._stopped
            self._xml.step(self._atoms, energies, self._bands(levels, spins) if at_end else "")
            if converged and job.whole("NSW", 0):
                outcar.say(" reached required accuracy - stopping structural energy minimisation")
            if at_end:
                break
        self._close()

    def _relaxation(self) -> Iterator[tuple[int, bool]]:
        """Number of each ionic step, and whether the forces are down after it."""
        from ase.filters import FrechetCellFilter
        from ase.optimize import BFGS

        job = self._job
        self._atoms = job.atoms.copy()
        self._atoms.calc = self._calculator
        steps = job.whole("NSW", 0)
        if not steps:
            yield 1, True
            return
        target = FrechetCellFilter(self._atoms) if job.whole("ISIF", 2) >= 3 else self._atoms
        optimizer = BFGS(target, logfile=None, maxstep=0.1)
        fmax = abs(job.number("EDIFFG", -1e-3))
        for number, converged in enumerate(optimizer.irun(fmax=fmax, steps=steps - 1), 1):
            yield number, bool(converged)

    def _energy(self) -> float:
        """Lowered, so that what holds together is below zero as VASP's energies are."""
        lifted = _FAR_UP_EV if self._faults.has("positive-energy") else 0.0
        bound = float(self._atoms.get_potential_energy()) - _BOUND_EV * len(self._atoms)
        return bound + lifted

    def _electronic_steps(self, energy: float) -> list[float]:
        """Energies that fall towards `energy`, until EDIFF, NELM or a STOPCAR ends them."""
        job = self._job
        most, least = job.whole("NELM", 60), job.whole("NELMIN", 2)
        stuck = self._faults.has("nonconv")
        change, energies = 10.0, []
        converged = False
        for number in range(1, most + 1):
            change = 1e-2 if stuck else change / _FALL_PER_STEP
            energies.append(energy + (change if stuck else 0.1 * change))
            self._outcar.electronic(number, energies[-1], -change)
            converged = change < job.number("EDIFF", 1e-4) and number >= least
            if converged or self._stop_asked("LABORT"):
                break
        energies.append(energy)
        self._outcar.electrons_done(converged)
        return energies

    def _bands(self, levels: electrons.Levels, spins: int) -> str:
        job = self._job
        low = job.number("EMIN", float(levels.eigenvalues.min()) - 2)
        high = job.number("EMAX", float(levels.eigenvalues.max()) + 2)
        energies = np.linspace(low, high, job.whole("NEDOS", 301))
        factor = 2.0 / spins
        return last_part(
            levels, spins, energies, *electrons.density(levels, job.weights, energies, factor)
        )

    def _stop_asked(self, how: str) -> bool:
        """Whether STOPCAR says so; what it said is kept."""
        if self._deaf:
            return False
        try:
            text = (self._folder / "STOPCAR").read_text().upper()
        except OSError:
            return False
        asked = re.search(rf"{how}\s*=\s*\.?T", text) is not None
        if asked:
            kind = "soft" if how == "LSTOP" else "hard"
            self._stopped = f"{kind} stop encountered!  aborting job ..."
        return asked

    def _close(self) -> None:
        if self._stopped:
            self._outcar.say(f" {self._stopped}")
            (self._folder / "STOPCAR").unlink(missing_ok=True)
        writing.write_placeholders(self._folder, self._job)
        if self._faults.has("truncate"):
            self._xml.truncate()
        else:
            self._xml.close(self._atoms)
        self._outcar.close()


def calculator_for(atoms: Atoms) -> tuple[Calculator, str]:
    """An ASE calculator that knows these elements, and its name."""
    named = os.environ.get("STARGEN_MOCK_VASP_CALCULATOR")
    if named not in (None, "emt", "lj"):
        raise BadInput(f"no calculator {named!r}: emt or lj")
    if named == "emt" or (named is None and set(atoms.get_chemical_symbols()) <= _EMT_ELEMENTS):
        from ase.calculators.emt import EMT

        return EMT(), "emt"
    from ase.calculators.lj import LennardJones
    from ase.data import covalent_radii

    mean = float(np.mean(covalent_radii[atoms.numbers]))
    sigma = max(_LEAST_LENGTH_ANG, 2 * mean) / 2 ** (1 / 6)
    return LennardJones(sigma=sigma, epsilon=0.5, rc=2.5 * sigma, smooth=True), "lj"


def check(folder: Path, job: Job) -> None:
    """What VASP itself would refuse.

    Raises
    ------
    BadInput : with the words of VASP
    """
    if job.whole("ICHARG", 2) >= 10:
        if not (folder / "CHGCAR").is_file():
            raise BadInput("ERROR: charge density could not be read from file CHGCAR for ICHARG>10")
        if "METAGGA" in job.tags:
            raise BadInput("ERROR: ICHARG=11 is of no use with METAGGA: the density does not do")
    wavecar = folder / "WAVECAR"
    if job.whole("ISTART", 0) == 1 and wavecar.is_file():
        found = wavecar.read_bytes()
        if found and found != writing.WAVECAR_MAGIC:
            raise BadInput("ERROR: while reading WAVECAR, plane wave coefficients changed")
    if job.whole("ISMEAR", 1) == -5 and len(job.kpoints) < 4:
        raise BadInput(
            "ERROR: Tetrahedron method fails for NKPT<4. NKPT = " + str(len(job.kpoints))
        )
    if job.n_bands < job.n_electrons / 2:
        raise BadInput("ERROR: The number of bands is not sufficient to hold all electrons. I am")


def main() -> None:
    """Run in the working directory, as VASP does."""
    folder = Path.cwd()
    try:
        job = read(folder)
        faults = Faults.planned(folder, relaxing=job.whole("NSW", 0) > 0)
        faults.at_start()
        check(folder, job)
        run = Run(folder, job, faults)
    except BadInput as error:
        print(f" {writing.BANNER}\n {error}", flush=True)
        raise SystemExit(1) from error
    run.go()


if __name__ == "__main__":
    main()
