"""All repairs, in the order in which they are looked for: causes before their consequences."""

from __future__ import annotations

from collections.abc import Iterator

from stargen.calculators.contract import Finding
from stargen_vasp.outputs import Outputs
from stargen_vasp.repairs import conditions, electrons, ions, quality, symmetry
from stargen_vasp.repairs.base import Printed, Repair
from stargen_vasp.run import Run

REPAIRS: tuple[Repair, ...] = (
    conditions.Memory(),
    conditions.DiskFull(),
    conditions.SchedulerEnded(),
    conditions.ReadError(),
    conditions.CoreCharge(),
    conditions.Harris(),
    conditions.Poscar(),
    symmetry.TripleProduct(),
    symmetry.Ksymm(),
    symmetry.PointGroup(),
    symmetry.RotationMatrix(),
    symmetry.Ibzkpt(),
    symmetry.InverseRotation(),
    symmetry.Pricel(),
    symmetry.Posmap(),
    symmetry.Rhosyg(),
    symmetry.Bravais(),
    symmetry.KpointsTrans(),
    symmetry.Hnform(),
    symmetry.Shift(),
    symmetry.Tetrahedra(),
    electrons.NotEnoughBands(),
    electrons.TooFewBands(),
    electrons.Edddav(),
    electrons.Zheev(),
    electrons.Psyevx(),
    electrons.Zpotrf(),
    electrons.GradientNotOrthogonal(),
    electrons.Grids(),
    electrons.RealSpace(),
    electrons.NichtKonvergent(),
    electrons.Wavecar(),
    electrons.ElfKpar(),
    electrons.PeadNcore(),
    electrons.Fexcf(),
    electrons.Brmix(),
    ions.Zbrent(),
    ions.Brions(),
    ions.PositiveEnergy(),
    ions.Leap(),
    ions.NonConverging(),
    conditions.Frozen(),
    conditions.NeverStarted(),
    # what is a fault only where the run did not end well
    electrons.Eddrmm(),
    electrons.SubSpaceMatrix(),
    electrons.AlgoTet(),
    electrons.Amin(),
    electrons.Commutator(),
    symmetry.MeshClass(),
    symmetry.SymprecNoise(),
    symmetry.Dentet(),
    # what only the end shows
    conditions.Died(),
    conditions.Truncated(),
    ions.Electrons(),
    ions.Ions(),
    quality.LargeSigma(),
    quality.Drift(),
)

BY_FAULT = {repair.fault: repair for repair in REPAIRS}

_SILENCE = (conditions.Frozen, conditions.NeverStarted)


def seen_while_running(outputs: Outputs, run: Run) -> Finding | None:
    """A fault for which the run should be ended now."""
    watched = (r for r in REPAIRS if r.watched and not _is_advice(r))
    return _first(watched, outputs, run)


def seen_after_the_end(outputs: Outputs, run: Run) -> Finding | None:
    """What went wrong; warnings count only where something did."""
    certain = (r for r in REPAIRS if not _is_advice(r) and not isinstance(r, _SILENCE))
    finding = _first(certain, outputs, run)
    if finding is None or BY_FAULT[finding.fault].watched:
        return finding
    return _first((r for r in REPAIRS if _is_advice(r)), outputs, run) or finding


def _first(repairs: Iterator[Repair], outputs: Outputs, run: Run) -> Finding | None:
    return next(filter(None, (repair.check(outputs, run) for repair in repairs)), None)


def _is_advice(repair: Repair) -> bool:
    return isinstance(repair, Printed) and repair.advice
