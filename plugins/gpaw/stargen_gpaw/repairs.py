"""What is done about the faults of a GPAW run: one small class for each."""

from __future__ import annotations

import errno
from typing import Any, ClassVar

from stargen_dft.failures import NodeTrouble

from stargen.crystal import Scalar
from stargen.errors import CalculationFailed, OutOfMemory, TaskError, UserTaskError

Changes = dict[str, tuple[Scalar, Scalar]]
Task = dict[str, Any]


class Repair:
    """One fault.

    fault : its name
    most : how often it may be corrected in one step of a task
    """

    fault: ClassVar[str]
    most: ClassVar[int] = 1

    def correct(self, task: Task, tries: int) -> Changes:
        """Change the task; {what: (old, new)}."""
        raise NotImplementedError


class Unconverged(Repair):
    """The electrons did not come to rest: slower mixing, then a softer occupation."""

    fault = "electrons unconverged"
    most = 2

    def correct(self, task: Task, tries: int) -> Changes:
        scf, old = task["scf"], dict(task["scf"])
        if tries == 0:
            scf |= {"maxiter": 1_000, "mixer": {"beta": 0.02, "nmaxold": 5, "weight": 100.0}}
            return {
                "maxiter": (old.get("maxiter"), 1_000),
                "mixer": (str(old.get("mixer", "GPAW's own")), "beta 0.02, 5 old, weight 100"),
            }
        width = task["smearing_ev"]
        task["smearing_ev"] = 4 * width
        return {"smearing_ev": (width, 4 * width)}


class Symmetry(Repair):
    """The crystal lost the symmetry that the k-points were chosen for."""

    fault = "symmetry broken"

    def correct(self, task: Task, tries: int) -> Changes:
        task["scf"]["symmetry"] = "off"
        return {"symmetry": ("on", "off")}


class Died(Repair):
    """It ended without saying why: tried once more as it stands."""

    fault = "died"

    def correct(self, task: Task, tries: int) -> Changes:
        return {}


class Frozen(Died):
    """Nothing has been written for long."""

    fault = "frozen"


REPAIRS = {repair.fault: repair for repair in (Unconverged(), Symmetry(), Died(), Frozen())}

PHYSICS = frozenset({"smearing_ev"})
"""What of a task moves its result."""

_FAULTS = {
    "KohnShamConvergenceError": Unconverged.fault,
    "ConvergenceError": Unconverged.fault,
    "SymmetryBrokenError": Symmetry.fault,
}


def fault_of(failure: dict[str, Any]) -> str:
    """The fault that an exception of the program means.

    Raises
    ------
    TaskError : what no change of the task can mend
    """
    kinds = failure["kinds"]
    error = _hopeless(failure, kinds)
    if error is not None:
        raise error
    return next((_FAULTS[kind] for kind in kinds if kind in _FAULTS), "failed")


def _hopeless(failure: dict[str, Any], kinds: list[str]) -> TaskError | None:
    told = f"{failure['kind']}: {failure['message']}"
    if "MemoryError" in kinds:
        return OutOfMemory(f"GPAW ran out of memory ({told})")
    if "ImportError" in kinds:
        return UserTaskError(f"the Python that shall have GPAW has not: {told}")
    if failure.get("errno") in (errno.ENOSPC, errno.EDQUOT):
        return NodeTrouble(f"GPAW found no room on the disk of its folder ({told})")
    if "FileNotFoundError" in kinds and "dataset" in told.lower():
        return CalculationFailed(f"GPAW has no PAW data set: {told}")
    return None
