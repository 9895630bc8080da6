"""Faults of the run itself: memory, disk, silence, files that break off, and the hopeless ones."""

from __future__ import annotations

import time
from typing import ClassVar

from stargen_dft.failures import NodeTrouble

from stargen.calculators.contract import Finding
from stargen.errors import CalculationFailed, OutOfMemory, UserTaskError
from stargen_vasp.editing import Inputs
from stargen_vasp.outputs import Outputs
from stargen_vasp.repairs.base import Printed, Repair
from stargen_vasp.run import Run


class Memory(Printed):
    """The memory granted does not do, by the word of the kernel, Slurm or VASP itself."""

    fault = "out of memory"
    texts = (
        "oom-kill event",
        "oom_kill",
        "Out Of Memory",
        "OUT_OF_MEMORY",
        "Allocation would exceed memory limit",
        "Cannot allocate memory",
        "insufficient virtual memory",
        "TERM_MEMLIMIT",
        "PBS: job killed: mem",
    )
    most = 3

    def correct(self, inputs: Inputs, tries: int) -> bool:
        """Fewer groups of k-points hold fewer orbitals; beyond that only more memory helps."""
        kpar = int(inputs.tag("KPAR", 1))
        if kpar <= 1:
            raise OutOfMemory("VASP ran out of memory, and KPAR is 1 already")
        return inputs.set(KPAR=kpar // 2)


class DiskFull(Printed):
    """No room for what it writes."""

    fault = "disk full"
    texts = ("No space left on device", "Disk quota exceeded", "disk quota exceeded")

    def correct(self, inputs: Inputs, tries: int) -> bool:
        raise NodeTrouble("VASP found no room on the disk of its folder")


class SchedulerEnded(Printed):
    """The batch system ended it, and says why: Slurm, PBS or LSF."""

    fault = "ended by the batch system"
    texts = (
        "DUE TO TIME LIMIT",
        "DUE TO PREEMPTION",
        "DUE TO NODE FAILURE",
        "NODE_FAIL",
        "Node failure on",
        "slurmstepd: error: *** STEP",
        "slurmstepd: error: *** JOB",
        "PBS: job killed: walltime",
        "TERM_RUNLIMIT",
        "TERM_PREEMPT",
    )

    def correct(self, inputs: Inputs, tries: int) -> bool:
        raise NodeTrouble("the batch system ended VASP (time limit, preemption or node failure)")


class Hopeless(Printed):
    """What no change of the input by a program can mend."""

    most = 1
    advice_for_people: ClassVar[str]

    def correct(self, inputs: Inputs, tries: int) -> bool:
        raise CalculationFailed(f"{self.fault}: {self.advice_for_people}")


class CoreCharge(Hopeless):
    """The core of a POTCAR has another number of electrons."""

    fault = "set_core_wf"
    texts = ("internal error in SET_CORE_WF",)
    advice_for_people = "core electrons of a POTCAR are wrong; use another one (potcars = {...})"


class Harris(Hopeless):
    """A fixed density with spin."""

    fault = "spin_polarized_harris"
    texts = ("Spin-polarized Harris functional", "Spin polarized Harris functional")
    advice_for_people = "a fixed density cannot be spin-polarised from scratch; run the static step"


class ReadError(Hopeless):
    """VASP cannot read what the campaign says: no candidate will fare better."""

    fault = "read_error"
    texts = ("Error reading item", "Error code was IERR=")

    def correct(self, inputs: Inputs, tries: int) -> bool:
        raise UserTaskError("VASP cannot read an INCAR tag: look at `incar` in the campaign file")


class Poscar(Hopeless):
    """POSCAR and POTCAR do not fit."""

    fault = "poscar"
    texts = (
        "number of potentials on File POTCAR incompatible",
        "POSCAR and POTCAR are incompatible",
    )
    advice_for_people = "the elements of POSCAR and POTCAR differ"


class Frozen(Repair):
    """Nothing has been written for long."""

    fault = "frozen"
    watched = True
    most = 2

    def check(self, outputs: Outputs, run: Run) -> Finding | None:
        last = outputs.last_written
        if last is None or not run.silent_s:
            return None
        silent = time.time() - max(last, run.run_began)
        if silent < run.silent_s:
            return None
        return Finding(self.fault, f"nothing written for {silent:.0f} s")

    def correct(self, inputs: Inputs, tries: int) -> bool:
        moved = inputs.go_on()
        fast = inputs.text("ALGO", "NORMAL")[:1] in "FV"
        return inputs.set(**({"ALGO": "Normal"} if fast else {"SYMPREC": 1e-8})) or moved


class NeverStarted(Repair):
    """Not one line of output."""

    fault = "never started"
    watched = True
    most = 1

    def check(self, outputs: Outputs, run: Run) -> Finding | None:
        waited = time.time() - run.run_began
        if outputs.last_written is not None or not run.start_s or waited < run.start_s:
            return None
        return Finding(self.fault, f"no output {waited:.0f} s after its start")

    def correct(self, inputs: Inputs, tries: int) -> bool:
        raise NodeTrouble("VASP printed nothing at all: it never started on this node")


class Died(Repair):
    """It ended before its end, and says nothing that is known: tried once more as it stands."""

    fault = "died"
    most = 1

    def check(self, outputs: Outputs, run: Run) -> Finding | None:
        if outputs.has_ended:
            return None
        return Finding(self.fault, "OUTCAR breaks off")

    def correct(self, inputs: Inputs, tries: int) -> bool:
        inputs.go_on()
        inputs.remove("WAVECAR")
        return True


class Truncated(Repair):
    """The run came to its end, its vasprun.xml did not."""

    fault = "truncated"
    most = 1

    def check(self, outputs: Outputs, run: Run) -> Finding | None:
        if not outputs.has_ended or outputs.xml_is_whole:
            return None
        return Finding(self.fault, "vasprun.xml breaks off, though OUTCAR is whole")

    def correct(self, inputs: Inputs, tries: int) -> bool:
        inputs.go_on()
        return True
