"""Faults of the relaxation."""

from __future__ import annotations

from math import isnan

from stargen.calculators.contract import Finding
from stargen_vasp.editing import Inputs
from stargen_vasp.outputs import Outputs
from stargen_vasp.repairs.base import Printed, Repair
from stargen_vasp.run import Run

_LEAST_EDIFF = 1e-8
_LEAP_EV_PER_ATOM = 1.0
_STUCK_STEPS = 4


class Zbrent(Printed):
    """The line search lost its bracket: forces too noisy for how far down they shall come."""

    fault = "zbrent"
    texts = ("ZBRENT: fatal error in bracketing", "ZBRENT: fatal internal in")
    most = 3

    def correct(self, inputs: Inputs, tries: int) -> bool:
        inputs.go_on()
        now = float(inputs.tag("EDIFF", 1e-4))
        inputs.set(EDIFF=1e-6 if now > 1e-6 else max(now / 10, _LEAST_EDIFF), NELMIN=8)
        if tries >= 1:
            inputs.set(IBRION=1)
        return bool(inputs.changes)


class Brions(Printed):
    """Steps of the relaxation are too short."""

    fault = "brions"
    texts = ("BRIONS problems: POTIM should be increased",)
    most = 3

    def correct(self, inputs: Inputs, tries: int) -> bool:
        inputs.go_on()
        if tries and int(inputs.tag("IBRION", 0)) == 1:
            return inputs.set(IBRION=2, POTIM=0.5)
        return inputs.set(POTIM=round(float(inputs.tag("POTIM", 0.5)) + 0.1, 6))


class Leap(Repair):
    """The energy rose or fell by more than 1 eV/atom in one step: the step was too long."""

    fault = "potim"
    watched = True

    def check(self, outputs: Outputs, run: Run) -> Finding | None:
        steps, n_atoms = outputs.ionic_steps, outputs.n_atoms
        if len(steps) < 2 or not n_atoms:
            return None
        leap = (steps[-1].energy_ev - steps[-2].energy_ev) / n_atoms
        if abs(leap) < _LEAP_EV_PER_ATOM:
            return None
        return Finding(self.fault, f"the energy leapt by {leap:.2f} eV/atom in one ionic step")

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return inputs.set(POTIM=float(inputs.tag("POTIM", 0.5)) / 2)


class PositiveEnergy(Repair):
    """No crystal has a positive energy: the minimisation is astray."""

    fault = "positive energy"
    watched = True

    def check(self, outputs: Outputs, run: Run) -> Finding | None:
        steps = outputs.ionic_steps
        if not steps or not (steps[-1].energy_ev > 0 or isnan(steps[-1].energy_ev)):
            return None
        return Finding(self.fault, f"E0 = {steps[-1].energy_ev:g} eV after step {steps[-1].number}")

    def correct(self, inputs: Inputs, tries: int) -> bool:
        if inputs.set(ALGO="Normal"):
            inputs.remove("WAVECAR", "CHGCAR")
            return True
        return int(inputs.tag("NSW", 0)) > 0 and inputs.set(
            POTIM=float(inputs.tag("POTIM", 0.5)) / 2
        )


class Electrons(Repair):
    """The electrons did not come to rest within NELM steps."""

    fault = "electrons unconverged"
    most = 3

    def check(self, outputs: Outputs, run: Run) -> Finding | None:
        if not outputs.has_ended or outputs.was_stopped or outputs.electrons_converged:
            return None
        return Finding(
            self.fault, f"the energy did not converge within {outputs.tag('NELM', 60)} steps"
        )

    def correct(self, inputs: Inputs, tries: int) -> bool:
        inputs.go_on()
        algo = inputs.text("ALGO", "NORMAL")[:1]
        if inputs.is_meta and algo != "A" and int(inputs.tag("ISMEAR", 0)) >= 0:
            return inputs.set(ALGO="All", ISEARCH=1)
        if algo in "VF":
            return inputs.set(ALGO="Fast" if algo == "V" else "Normal")
        if int(inputs.tag("NELM", 60)) < 200 or inputs.tag("BMIX") is None:
            inputs.remove("WAVECAR", "CHGCAR")
            return inputs.set(NELM=200, NELMDL=-10, AMIN=0.01, BMIX=3.0)
        return int(inputs.tag("ISMEAR", 0)) >= 0 and inputs.set(ALGO="All")


class NonConverging(Repair):
    """Several ionic steps in a row ran out of electronic ones."""

    fault = "electrons never converge"
    watched = True
    most = 3

    def check(self, outputs: Outputs, run: Run) -> Finding | None:
        last = outputs.ionic_steps[-_STUCK_STEPS:]
        most = int(outputs.tag("NELM", 60))
        if len(last) < _STUCK_STEPS or any(step.electronic < most for step in last):
            return None
        return Finding(self.fault, f"{_STUCK_STEPS} ionic steps in a row reached NELM = {most}")

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return Electrons().correct(inputs, tries)


class Ions(Repair):
    """The forces did not come down within NSW steps. How often it goes on is a parameter."""

    fault = "ions unconverged"
    most = 1_000

    def check(self, outputs: Outputs, run: Run) -> Finding | None:
        relaxes = int(outputs.tag("NSW", 0)) > 0
        if not relaxes or outputs.forces_converged or run.mended(self.fault) >= run.continuations:
            return None
        return Finding(
            self.fault, f"forces above EDIFFG after {len(outputs.ionic_steps)} ionic steps"
        )

    def correct(self, inputs: Inputs, tries: int) -> bool:
        """Go on from where it is; the second time with the quasi-Newton method."""
        moved = inputs.go_on()
        return inputs.set(IBRION=1) or moved if tries else moved
