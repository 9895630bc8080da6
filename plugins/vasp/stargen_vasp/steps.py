"""The four steps as programs: inputs, supervision, results.

All steps of a task work in one folder, so each finds the orbitals, density and positions that the
one before left. An attempt that was interrupted leaves the folder too, and the next goes on in it.
"""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from stargen_dft import cells
from stargen_dft.failures import WalltimeEnds

from stargen.calculators.contract import Change, Command, Context, Finding, Progress
from stargen.crystal import Candidate, Crystal, Drop, Scalar
from stargen.errors import CalculationFailed, UserTaskError
from stargen_vasp import inputs, potcars, presets, results, xmlsteps
from stargen_vasp.editing import Inputs, clear_outputs, reached
from stargen_vasp.info import BandsParams, DosParams, VaspParams
from stargen_vasp.outputs import Outputs
from stargen_vasp.repairs import table
from stargen_vasp.run import SOFT_STOP, Run

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.io.vasp.inputs import Kpoints
    from pymatgen.io.vasp.outputs import Vasprun

_STEPS_BEFORE_END = 3
_LEAST_MARGIN_S = 300.0
_MARGIN_SHARE = 0.1
_SHELLS_OFFSET = 128


class Plan(NamedTuple):
    """What a step asks of VASP, before parallelisation and start are decided."""

    tags: presets.Tags
    kpoints: Kpoints
    n_kpoints: int
    fixed_density: bool = False
    path: cells.Path | None = None


class Step(ABC):
    """What the steps share. A `stargen.calculators.contract.Program`."""

    name: ClassVar[str]
    has_energies: ClassVar[bool] = False

    @abstractmethod
    def plan(self, structure: Structure, params: Any, known: presets.Known, folder: Path) -> Plan:
        """Tags and k-points of this step."""

    # --- inputs -----------------------------------------------------------------------------------

    def prepare(self, candidate: Candidate, folder: Path, context: Context) -> Command:
        """Write the inputs, or go on with those of an attempt that was interrupted.

        Raises
        ------
        UserTaskError : this node sees no POTCARs at all
        CalculationFailed : there is no POTCAR for an element, or it cannot be read
        """
        began = time.time()  # before anything heavy is imported: the walltime runs already
        params: VaspParams = context.params
        run = Run.of(folder)
        if not (run is not None and run.step == self.name and not run.done):
            run = self._begin(candidate, folder, context, run)
        elif not _take_up(folder, run, context):
            run = self._begin(candidate, folder, context, replace(run, done=True))
        run.walltime_s = context.resources.walltime_s
        run.begin(folder, attempt_began=began)
        words = {
            "cores": str(max(1, context.resources.cores)),
            "gpus": str(int(context.resources.gpus)),
        }
        # One thread a rank: the ranks have the cores already.
        return Command(tuple(t.format(**words) for t in params.argv), {"OMP_NUM_THREADS": "1"})

    def _begin(
        self, candidate: Candidate, folder: Path, context: Context, before: Run | None
    ) -> Run:
        params: VaspParams = context.params
        problem = potcars.library_problem(params.potcar_functional)
        if problem is not None:
            raise UserTaskError(problem)
        problem = potcars.missing_problem(params, sorted(set(candidate.crystal.symbols)))
        if problem is not None:
            raise CalculationFailed(problem)
        structure = cells.standard_cell(
            candidate.crystal, params.symprec_ang, standardize=params.standardize
        )
        known = presets.Known(**before.known) if before is not None else presets.Known()
        if not _fits(folder, structure):
            for name in ("WAVECAR", "CHGCAR"):
                (folder / name).unlink(missing_ok=True)
        plan = self.plan(structure, params, known, folder)
        tags = inputs.tags_of(params, structure, plan.tags)
        tags |= inputs.start_tags(
            folder,
            meta=presets.is_meta(tags),
            fixed_density=plan.fixed_density,
            same_mesh=_same_kpoints(folder, plan.kpoints),
        )
        own = {key.upper(): value for key, value in params.incar.items()}
        if context.resources.walltime_s is not None:
            tags["LWAVE"] = True  # what a stop before its end would otherwise throw away
        tags |= inputs.parallel_tags(context.resources, plan.n_kpoints, len(structure)) | own
        clear_outputs(folder)
        try:
            inputs.write(folder, candidate, structure, tags, plan.kpoints, params)
        except ValueError as error:
            raise CalculationFailed(str(error)) from error
        return Run(
            step=self.name,
            place=before.place if before is not None else "",
            attempt_began=before.attempt_began if before is not None else 0.0,
            strict=params.strict,
            max_corrections=params.max_corrections,
            silent_s=params.silent_s,
            start_s=params.start_s,
            continuations=getattr(params, "continuations", 0),
            corrections=before.corrections if before is not None else [],
            own=sorted(own),
            initial_volume=candidate.crystal.volume / candidate.crystal.n_atoms,
            known=known._asdict(),
            path=None if plan.path is None else plan.path.noted(),
        )

    # --- supervision ------------------------------------------------------------------------------

    def watch(self, folder: Path) -> Progress | Finding | None:
        """A fault for which to end the run, or how far it is; asks it to end before its time."""
        run = Run.of(folder)
        if run is None:
            return None
        outputs = Outputs(folder)
        finding = table.seen_while_running(outputs, run)
        if finding is not None:
            return finding
        steps, most = len(outputs.ionic_steps), int(outputs.tag("NSW", 0))
        if steps or not most:
            _stop_before_the_end(folder, run, outputs, at_once=not most)
        note = f"ionic step {steps + 1}, electronic step {outputs.electronic_now}"
        return Progress(steps, most, note) if most else None

    def diagnose(self, folder: Path, code: int) -> Finding | None:
        """What went wrong, now that it has ended with this return code.

        Raises
        ------
        WalltimeEnds : nothing, it was stopped in time to go on later
        CalculationFailed : it died without a reason that is known, a second time
        """
        run = Run.of(folder)
        if run is None:
            return Finding("no note", "the folder's own note cannot be read")
        outputs = Outputs(folder)
        if (folder / SOFT_STOP).exists() and not outputs.forces_converged and outputs.has_ended:
            raise WalltimeEnds(
                f"stopped before its walltime of {run.walltime_s:g} s, after "
                f"{len(outputs.ionic_steps)} ionic steps; it goes on from there"
            )
        finding = table.seen_after_the_end(outputs, run)
        if finding is None or finding.fault != "died":
            return finding
        if _signal_of(code) is signal.SIGKILL and run.killed_for_memory:
            return Finding("out of memory", "the node's kernel killed it for want of memory")
        words = outputs.last_words
        return Finding(
            "died", f"VASP {_ending(code)} {f'and said: {words}' if words else 'without a word'}"
        )

    def correct(self, finding: Finding, folder: Path) -> Change:
        """Change the inputs for another try.

        Raises
        ------
        TaskError : no more can be done; what was seen and the last lines are with it
        """
        run, repair = Run.of(folder), table.BY_FAULT.get(finding.fault)
        problem, detail = f"{finding.fault}: {finding.message}", Outputs(folder).last_lines()
        if run is None or repair is None:
            raise CalculationFailed(problem, detail=detail)
        tries = run.mended(repair.fault)
        if tries >= repair.most:
            often = {1: "once", 2: "twice"}.get(tries, f"{tries} times")
            raise CalculationFailed(f"{problem} (corrected {often} in vain)", detail=detail)
        if len(run.corrections) >= run.max_corrections:
            problem = f"{problem} (max_corrections = {run.max_corrections} are used up)"
            raise CalculationFailed(problem, detail=detail)
        changed = Inputs(folder)
        finished = xmlsteps.energies(folder)
        if not repair.correct(changed, tries):
            raise CalculationFailed(f"{problem} (nothing is left to change)", detail=detail)
        if run.strict and changed.physics:
            wanted = ", ".join(f"{k}: {a} -> {b}" for k, (a, b) in changed.physics.items())
            raise CalculationFailed(f"{problem} (strict refuses {wanted})", detail=detail)
        changed.write()
        run.note_correction(repair.fault, finding.message, changed.changes)
        run.earlier_energies += finished
        run.begin(folder)
        return Change(repair.fault, changed.changes)

    def stop(self, folder: Path) -> bool:
        """At the next electronic step: whoever asks waits for seconds."""
        (folder / "STOPCAR").write_text("LABORT = .TRUE.\n", encoding="utf-8")
        return True

    # --- results ----------------------------------------------------------------------------------

    def collect(self, candidate: Candidate, folder: Path, context: Context) -> Candidate | Drop:
        """Numbers into properties, arrays into data.

        Raises
        ------
        BadResult : vasprun.xml cannot be read
        """
        run = Run.of(folder)
        assert run is not None
        outputs = Outputs(folder)
        xml = results.read_xml(folder)
        properties, gap = results.electronic(xml)
        data: dict[str, Any] = {self.name: results.provenance(xml, folder, run)}
        reasons = _reasons(outputs)
        data[self.name]["converged"] = reasons
        if context.params.keep:
            data[self.name]["files"] = results.packed_files(folder, context.params.keep)
        properties["engine"] = results.engine_of(xml)
        properties["corrections"] = len(run.corrections)
        if self.has_energies:
            properties |= results.energies(xml, outputs)
            properties["converged"] = all(ok for ok, _ in reasons.values())
            data |= results.bulk(xml)
        more, arrays = self.more(xml, run)
        bands = run.known.get("n_bands") or results.levels(xml)[0].shape[-1]
        run.known = presets.Known(xml.efermi, gap.gap_ev, bands)._asdict()
        run.done = True
        run.save(folder)
        crystal = Crystal.from_pymatgen(xml.final_structure)
        result = candidate.with_(crystal, data=data | arrays, **(properties | more))
        return self.judged(result, reasons, context.params)

    def more(self, xml: Vasprun, run: Run) -> tuple[dict[str, Scalar], dict[str, Any]]:
        """Properties and data of this step alone."""
        return {}, {}

    def judged(
        self, result: Candidate, reasons: dict[str, tuple[bool, str]], params: Any
    ) -> Candidate | Drop:
        """The result, or a verdict on it."""
        return result


class Relax(Step):
    """C1: atoms and cell to where nothing pulls at them."""

    name = "vasp.relax"
    has_energies = True

    def plan(self, structure: Structure, params: Any, known: presets.Known, folder: Path) -> Plan:
        return _on_mesh(structure, params, presets.RELAX)

    def more(self, xml: Vasprun, run: Run) -> tuple[dict[str, Scalar], dict[str, Any]]:
        structure = xml.final_structure
        return {
            "relax_steps": len(run.earlier_energies) + len(xml.ionic_steps),
            "volume_ratio": structure.volume / len(structure) / run.initial_volume,
        }, {}

    def judged(
        self, result: Candidate, reasons: dict[str, tuple[bool, str]], params: Any
    ) -> Candidate | Drop:
        if result.properties["converged"] or params.unconverged == "keep":
            return result
        why = "; ".join(reason for ok, reason in reasons.values() if not ok)
        return result.drop("not converged", why)


class Static(Step):
    """C2: energy and density of the crystal as it stands."""

    name = "vasp.static"
    has_energies = True

    def plan(self, structure: Structure, params: Any, known: presets.Known, folder: Path) -> Plan:
        plan = _on_mesh(structure, params, presets.STATIC)
        return plan._replace(tags=plan.tags | presets.static_smearing(plan.n_kpoints))


class Dos(Step):
    """C3: density of states on a denser mesh."""

    name = "vasp.dos"

    def plan(self, structure: Structure, params: Any, known: presets.Known, folder: Path) -> Plan:
        asked: DosParams = params
        plan = _on_mesh(structure, params, presets.DOS, denser=asked.denser)
        tags = plan.tags | presets.static_smearing(plan.n_kpoints)
        tags |= presets.dos_window(known, asked.window_ev, asked.step_ev)
        return plan._replace(tags=tags, fixed_density=True)

    def more(self, xml: Vasprun, run: Run) -> tuple[dict[str, Scalar], dict[str, Any]]:
        return {}, {"dos_npz": results.packed_dos(xml)}


class Bands(Step):
    """C4: bands between the points of high symmetry.

    With a gradient-corrected functional the density of the static run is held. A meta-GGA or a
    hybrid has no Hamiltonian from the density alone: there the path rides with weight 0 on a run
    that finds its own density.
    """

    name = "vasp.bands"

    def plan(self, structure: Structure, params: Any, known: presets.Known, folder: Path) -> Plan:
        asked: BandsParams = params
        tags = presets.BANDS | presets.band_smearing(known) | presets.more_bands(known)
        meta = presets.is_meta(inputs.tags_of(params, structure, tags))
        density = folder / "CHGCAR"
        held = not meta and density.exists() and density.stat().st_size > 0
        path = cells.band_path(structure, asked.line_density, params.symprec_ang)
        mesh = None if held else cells.mesh_of(structure, _kspacing(params))
        kpoints = inputs.path_kpoints(structure, path, mesh, params.symprec_ang)
        return Plan(tags, kpoints, kpoints.num_kpts, fixed_density=held, path=path)

    def more(self, xml: Vasprun, run: Run) -> tuple[dict[str, Scalar], dict[str, Any]]:
        assert run.path is not None
        return {}, {"bands_npz": results.packed_bands(xml, run.path)}


def _on_mesh(
    structure: Structure, params: VaspParams, tags: presets.Tags, denser: float = 1.0
) -> Plan:
    mesh = cells.mesh_of(structure, _kspacing(params) / denser)
    n_kpoints = len(cells.irreducible(structure, mesh, params.symprec_ang))
    return Plan(dict(tags), inputs.mesh_kpoints(mesh), n_kpoints)


def _kspacing(params: VaspParams) -> float:
    return params.kspacing or presets.kspacing_of(params.preset)


def _take_up(folder: Path, run: Run, context: Context) -> bool:
    """Go on with an interrupted run's own inputs; False if they are broken."""
    try:
        changed = Inputs(folder)
        run.earlier_energies += xmlsteps.energies(folder)
        changed.go_on()
        orbitals = folder / "WAVECAR"
        if orbitals.exists() and orbitals.stat().st_size:
            changed.set(ISTART=1)
        n_kpoints = max(1, int(changed.kpoints.num_kpts))
        parallel = inputs.parallel_tags(context.resources, n_kpoints, changed.n_atoms)
        changed.set(**{name: n for name, n in parallel.items() if name not in run.settled})
        changed.write()
    except (OSError, ValueError, KeyError, IndexError):
        return False
    return (folder / "POTCAR").exists()


def _stop_before_the_end(folder: Path, run: Run, outputs: Outputs, *, at_once: bool) -> None:
    """A STOPCAR while there is time for what the slowest step seen would take, and some more.

    A relaxation ends after its ionic step; a run without any, `at_once` after its electronic one.
    """
    left = run.time_left_s()
    if left is None or run.walltime_s is None or (folder / SOFT_STOP).exists():
        return
    margin = min(_LEAST_MARGIN_S, _MARGIN_SHARE * run.walltime_s)
    slowest_s = outputs.slowest_electronic_s if at_once else outputs.slowest_step_s
    if left < max(margin, _STEPS_BEFORE_END * slowest_s):
        (folder / SOFT_STOP).write_text(f"{time.time():.0f}\n", encoding="utf-8")
        what = "LABORT" if at_once else "LSTOP"
        (folder / "STOPCAR").write_text(f"{what} = .TRUE.\n", encoding="utf-8")


def _signal_of(code: int) -> signal.Signals | None:
    """The signal that a return code means, also as shells and mpirun tell of it."""
    number = -code if code < 0 else code - _SHELLS_OFFSET
    return signal.Signals(number) if number in set(signal.Signals) else None


def _ending(code: int) -> str:
    killed = _signal_of(code)
    if killed is None:
        return f"ended with exit code {code}"
    told = "" if code < 0 else f" (exit code {code})"
    return f"was killed by {killed.name}{told}"


def _fits(folder: Path, structure: Structure) -> bool:
    """Whether orbitals and density in the folder belong to this cell."""
    found = reached(folder)
    return found is not None and cells.same_cell(found[0], structure)


def _same_kpoints(folder: Path, kpoints: Kpoints) -> bool:
    try:
        return (folder / "KPOINTS").read_text(encoding="utf-8") == str(kpoints)
    except OSError:
        return False


def _reasons(outputs: Outputs) -> dict[str, tuple[bool, str]]:
    """Of electrons, and of ions where they move: whether they converged, and how that is known."""
    electrons = outputs.electrons_converged
    found = {
        "electrons": (electrons, "EDIFF is reached" if electrons else "NELM ended the last step")
    }
    if int(outputs.tag("NSW", 0)):
        forces = outputs.forces_converged
        why = "a STOPCAR ended it" if outputs.was_stopped else "forces are above EDIFFG"
        found["ions"] = (forces, "VASP reached required accuracy" if forces else why)
    return found
