"""The four steps as programs: the task's file, supervision, results.

All steps of a task work in one folder. Each finds there the density that the one before left, and
an attempt that was interrupted leaves the ionic steps that it has made.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from stargen_dft import cells
from stargen_dft.failures import WalltimeEnds
from stargen_dft.starts import moments

from stargen.calculators.contract import Change, Command, Context, Finding, Progress
from stargen.crystal import Candidate, Crystal, Drop, Scalar
from stargen.errors import CalculationFailed
from stargen_gpaw import elements, environment, repairs, results, runner
from stargen_gpaw.info import BandsParams, DosParams, GpawParams, RelaxParams
from stargen_gpaw.run import (
    Run,
    failure_of,
    ionic_steps,
    last_lines,
    last_written,
    read_task,
    write_task,
)

if TYPE_CHECKING:
    from pymatgen.core import Structure

_MARGIN_SHARE, _MOST_MARGIN_S = 0.1, 300.0
_EMPTY_BANDS = 4


class Step(ABC):
    """What the steps share. A `stargen.calculators.contract.Program`."""

    verb: ClassVar[str]
    has_energies: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return f"gpaw.{self.verb}"

    @abstractmethod
    def more_of_task(self, structure: Structure, params: Any, run: Run) -> dict[str, Any]:
        """What the program is told for this step alone."""

    def prepare(self, candidate: Candidate, folder: Path, context: Context) -> Command:
        """Write the task, or go on with that of an attempt that was interrupted."""
        began = time.time()
        params: GpawParams = context.params
        run = Run.of(folder)
        if run is None or run.step != self.name or run.done or not (folder / runner.TASK).exists():
            run = self._begin(candidate, folder, context, run)
        run.walltime_s = context.resources.walltime_s
        run.begin(folder, attempt_began=began)
        task, walltime = read_task(folder), run.walltime_s
        task["end_at"] = None if walltime is None else run.attempt_began + walltime
        task["margin_s"] = min(_MOST_MARGIN_S, _MARGIN_SHARE * (walltime or 0.0))
        write_task(folder, task)
        words = {"cores": str(max(1, context.resources.cores))}
        start = tuple(t.format(**words) for t in params.argv) or (environment.python(),)
        # isolated: neither the folder nor Star-gen's own packages may shadow what GPAW imports
        return Command((*start, "-I", str(Path(runner.__file__).resolve())))

    def _begin(
        self, candidate: Candidate, folder: Path, context: Context, before: Run | None
    ) -> Run:
        params: GpawParams = context.params
        structure = cells.standard_cell(
            candidate.crystal, params.symprec_ang, standardize=params.standardize
        )
        symbols = {str(site.specie.symbol) for site in structure}
        missing = sorted(s for s in symbols if not elements.has_potential(s))
        if missing:
            raise CalculationFailed(f"GPAW has no PAW data sets for {', '.join(missing)}")
        run = Run(
            step=self.name,
            place=before.place if before is not None else "",
            attempt_began=before.attempt_began if before is not None else 0.0,
            strict=params.strict,
            max_corrections=params.max_corrections,
            silent_s=params.silent_s,
            corrections=before.corrections if before is not None else [],
            initial_volume=candidate.crystal.volume / candidate.crystal.n_atoms,
            known=before.known if before is not None else {},
        )
        numbers = [int(z) for z in structure.atomic_numbers]
        cutoff = params.cutoff_ev or run.known.get("cutoff_ev") or elements.cutoff_for(symbols)
        task = {
            "step": self.verb,
            "functional": params.functional,
            "cutoff_ev": cutoff,
            "mesh": cells.mesh_of(structure, params.kspacing),
            "smearing_ev": params.smearing_ev,
            "moments": moments(numbers) if params.spin else None,
            "scf": {},
            "numbers": numbers,
            "cell": structure.lattice.matrix.tolist(),
            "scaled": structure.frac_coords.tolist(),
            **self.more_of_task(structure, params, run),
        }
        (folder / runner.STEPS).unlink(missing_ok=True)
        (folder / runner.LOG).unlink(missing_ok=True)
        write_task(folder, task)
        return run

    # --- supervision ------------------------------------------------------------------------------

    def watch(self, folder: Path) -> Progress | Finding | None:
        """How far it is, or that it writes nothing."""
        run = Run.of(folder)
        if run is None:
            return None
        silent = time.time() - max(last_written(folder), run.run_began)
        if silent > run.silent_s:
            return Finding(repairs.Frozen.fault, f"nothing written for {silent:.0f} s")
        if self.verb != "relax":
            return None
        done = ionic_steps(folder)
        return Progress(done, read_task(folder)["steps"], f"ionic step {done + 1}")

    def diagnose(self, folder: Path, code: int) -> Finding | None:
        """What went wrong, now that it has ended with this return code.

        Raises
        ------
        WalltimeEnds : nothing, it was stopped in time to go on later
        TaskError : what no change of the task can mend
        """
        if code == runner.STOPPED_CODE:
            raise WalltimeEnds(f"stopped after {ionic_steps(folder)} ionic steps; it goes on there")
        failure = failure_of(folder)
        if failure is not None:
            fault = repairs.fault_of(failure)
            return Finding(fault, f"{failure['kind']}: {failure['message']}"[:500])
        if code == 0 and (folder / runner.RESULT).exists():
            return None
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        said = last_lines(folder, 1)
        return Finding(
            repairs.Died.fault, f"GPAW {how}; {f'its last line: {said}' if said else 'silent'}"
        )

    def correct(self, finding: Finding, folder: Path) -> Change:
        """Change the task for another try.

        Raises
        ------
        CalculationFailed : no more can be done; what was seen and the last lines are with it
        """
        run, repair = Run.of(folder), repairs.REPAIRS.get(finding.fault)
        problem, detail = f"{finding.fault}: {finding.message}", last_lines(folder)
        if run is None or repair is None:
            raise CalculationFailed(problem, detail=detail)
        tries = run.mended(repair.fault)
        if tries >= repair.most:
            raise CalculationFailed(f"{problem} (corrected {tries} times in vain)", detail=detail)
        if len(run.corrections) >= run.max_corrections:
            problem = f"{problem} (max_corrections = {run.max_corrections} are used up)"
            raise CalculationFailed(problem, detail=detail)
        task = read_task(folder)
        changes = repair.correct(task, tries)
        if run.strict and (moved := sorted(repairs.PHYSICS & set(changes))):
            raise CalculationFailed(f"{problem} (strict refuses {', '.join(moved)})", detail=detail)
        write_task(folder, task)
        run.note_correction(repair.fault, finding.message, changes)
        run.begin(folder)
        return Change(repair.fault, changes)

    def stop(self, folder: Path) -> bool:
        """A relaxation ends after its ionic step; nothing else can be left half-way."""
        if self.verb != "relax":
            return False
        (folder / runner.STOP).write_text("stop\n", encoding="utf-8")
        return True

    # --- results ----------------------------------------------------------------------------------

    def collect(self, candidate: Candidate, folder: Path, context: Context) -> Candidate | Drop:
        """Numbers into properties, arrays into data.

        Raises
        ------
        BadResult : what the program wrote cannot be read
        """
        run = Run.of(folder)
        assert run is not None
        task, found = read_task(folder), results.read(folder)
        properties = found.electronic()
        properties["engine"] = found.engine
        properties["corrections"] = len(run.corrections)
        data: dict[str, Any] = {self.name: results.provenance(found, task, run)}
        crystal = Crystal.of(found.cell, found.scaled, task["numbers"])
        if self.has_energies:
            properties |= found.energies(crystal, task["functional"])
            data |= found.bulk()
        more, arrays = self.more(found, run, context.params)
        if "cutoff_ev" in found.told:
            run.known = {**run.known, "cutoff_ev": found.told["cutoff_ev"]}
        run.done = True
        run.save(folder)
        result = candidate.with_(crystal, data=data | arrays, **(properties | more))
        return self.judged(result, found, folder, context.params)

    def more(
        self, found: results.Found, run: Run, params: Any
    ) -> tuple[dict[str, Scalar], dict[str, Any]]:
        """Properties and data of this step alone."""
        return {}, {}

    def judged(
        self, result: Candidate, found: results.Found, folder: Path, params: Any
    ) -> Candidate | Drop:
        """The result, or a verdict on it."""
        return result


class Relax(Step):
    """C1: atoms and cell to where nothing pulls at them, at a cut-off that the cell stands."""

    verb = "relax"
    has_energies = True

    def more_of_task(self, structure: Structure, params: Any, run: Run) -> dict[str, Any]:
        asked: RelaxParams = params
        return {
            "fmax": asked.fmax,
            "steps": asked.steps,
            "pulay_gpa": asked.pulay_gpa,
            "max_cutoff_ev": asked.max_cutoff_ev,
        }

    def judged(
        self, result: Candidate, found: results.Found, folder: Path, params: Any
    ) -> Candidate | Drop:
        run = Run.of(folder)
        assert run is not None
        ratio = result.crystal.volume / result.crystal.n_atoms / run.initial_volume
        result = result.with_(relax_steps=ionic_steps(folder), volume_ratio=ratio)
        if result.properties["converged"] or params.unconverged == "keep":
            return result
        return result.drop("not converged", "; ".join(found.faults))


class Static(Step):
    """C2: energy and density of the crystal as it stands."""

    verb = "static"
    has_energies = True

    def more_of_task(self, structure: Structure, params: Any, run: Run) -> dict[str, Any]:
        return {}


class Dos(Step):
    """C3: density of states on a denser mesh."""

    verb = "dos"

    def more_of_task(self, structure: Structure, params: Any, run: Run) -> dict[str, Any]:
        asked: DosParams = params
        mesh = cells.mesh_of(structure, asked.kspacing / asked.denser)
        return {"dense_mesh": mesh, "empty_bands": _EMPTY_BANDS}

    def more(
        self, found: results.Found, run: Run, params: Any
    ) -> tuple[dict[str, Scalar], dict[str, Any]]:
        asked: DosParams = params
        packed = found.packed_dos(asked.window_ev, asked.step_ev, asked.width_ev)
        return {}, {"dos_npz": packed}


class Bands(Step):
    """C4: bands between the points of high symmetry."""

    verb = "bands"

    def more_of_task(self, structure: Structure, params: Any, run: Run) -> dict[str, Any]:
        asked: BandsParams = params
        path = cells.band_path(structure, asked.line_density, asked.symprec_ang)
        run.path = path.noted()
        return {"path": path.points.tolist(), "empty_bands": _EMPTY_BANDS}

    def more(
        self, found: results.Found, run: Run, params: Any
    ) -> tuple[dict[str, Scalar], dict[str, Any]]:
        assert run.path is not None
        return {}, {"bands_npz": found.packed_bands(run.path)}
