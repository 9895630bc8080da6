"""What is no fault, but makes a result worse: mended while that is possible, never a failure."""

from __future__ import annotations

import re
from typing import ClassVar

import numpy as np

from stargen.calculators.contract import Finding
from stargen_vasp.editing import Inputs
from stargen_vasp.outputs import Outputs
from stargen_vasp.repairs.base import Repair
from stargen_vasp.run import Run

_MOST_ENTROPY_EV_PER_ATOM = 1e-3
_LEAST_SIGMA_EV = 0.02
_MOST_DRIFT_EV_PER_ANG = 0.05

_ENTROPY = re.compile(r"entropy T\*S\s+EENTRO =\s*(\S+)")
_DRIFT = re.compile(r"total drift:\s+(\S+)\s+(\S+)\s+(\S+)")


class Blemish(Repair):
    """Looked for in results that count; `strict` keeps them as they are.

    steps : whose results it spoils
    """

    steps: ClassVar[tuple[str, ...]]

    def check(self, outputs: Outputs, run: Run) -> Finding | None:
        tried = run.mended(self.fault) >= self.most or len(run.corrections) >= run.max_corrections
        if run.strict or tried or run.step not in self.steps or outputs.was_stopped:
            return None
        found = self.found(outputs)
        return None if found is None else Finding(self.fault, found)

    def found(self, outputs: Outputs) -> str | None:
        """What is wrong, if it can be mended."""
        raise NotImplementedError


class LargeSigma(Blemish):
    """The smearing's entropy is no small part of the energy."""

    fault = "large sigma"
    steps = ("vasp.relax", "vasp.static")

    def found(self, outputs: Outputs) -> str | None:
        told, sigma = _ENTROPY.findall(outputs.outcar), float(outputs.tag("SIGMA", 0.2))
        if not told or not outputs.n_atoms or sigma <= _LEAST_SIGMA_EV:
            return None
        entropy = abs(float(told[-1])) / outputs.n_atoms
        if entropy <= _MOST_ENTROPY_EV_PER_ATOM:
            return None
        return f"T*S is {1e3 * entropy:.1f} meV/atom with SIGMA = {sigma:g}"

    def correct(self, inputs: Inputs, tries: int) -> bool:
        inputs.go_on()
        sigma = max(_LEAST_SIGMA_EV, float(inputs.tag("SIGMA", 0.2)) / 4)
        return inputs.set(SIGMA=float(f"{sigma:.3g}"))


class Drift(Blemish):
    """The forces do not sum up to nothing: the grids are too coarse for them."""

    fault = "drift"
    steps = ("vasp.relax",)
    most = 1

    def found(self, outputs: Outputs) -> str | None:
        told = _DRIFT.findall(outputs.outcar)
        accurate = str(outputs.tag("PREC", "Normal")).upper()[:1] == "A"
        if not told or (accurate and not outputs.tag("LREAL", False)):
            return None
        drift = float(np.linalg.norm([float(part) for part in told[-1]]))
        return f"a drift of {drift:.3f} eV/Å" if drift > _MOST_DRIFT_EV_PER_ANG else None

    def correct(self, inputs: Inputs, tries: int) -> bool:
        inputs.go_on()
        return inputs.set(PREC="Accurate", LREAL=False)
