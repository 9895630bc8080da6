"""What the tests share: crystals, and a host that runs a step as a node would."""

import os
import subprocess
import sys

import numpy as np
import pytest
from stargen_gpaw import info as infos

from stargen import Candidate, Crystal, Resources
from stargen.calculators.conformance import LocalContext
from stargen.calculators.contract import Finding
from stargen.calculators.registry import make

FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


@pytest.fixture
def silicon():
    return Candidate("make/0", Crystal.of(FCC * 5.43, [[0, 0, 0], [0.25] * 3], [14, 14]))


@pytest.fixture
def magnesia():
    return Candidate("make/1", Crystal.of(FCC * 4.25, [[0, 0, 0], [0.5] * 3], [12, 8]))


class Host:
    """Runs steps in one folder, one after another, as the node's host does."""

    def __init__(self, folder):
        self.folder = folder
        self.resources = Resources(cores=1)
        self.changes = []

    def prepare(self, verb, candidate, **params):
        info = getattr(infos, verb)
        context = LocalContext(info.params(**params), use=info.name, resources=self.resources)
        step = make(info)
        return step, context, step.prepare(candidate, self.folder, context)

    def run(self, verb, candidate, **params):
        step, context, command = self.prepare(verb, candidate, **params)
        self.changes = []
        while True:
            with (
                (self.folder / "stdout.txt").open("w") as out,
                (self.folder / "stderr.txt").open("w") as error,
            ):
                code = subprocess.run(
                    command.argv,
                    cwd=self.folder,
                    stdout=out,
                    stderr=error,
                    env={**os.environ, "OMP_NUM_THREADS": "1", **command.env},
                    check=False,
                ).returncode
            finding = step.diagnose(self.folder, code)
            if not isinstance(finding, Finding):
                return step.collect(candidate, self.folder, context)
            self.changes.append(step.correct(finding, self.folder))


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


PRETENDER = """\
import json, os, signal, sys, time
from pathlib import Path
import numpy as np

plan = json.loads(Path("plan.json").read_text())
fault = plan.pop(0) if plan else None
Path("plan.json").write_text(json.dumps(plan))
task = json.loads(Path("task.json").read_text())
if isinstance(fault, dict):
    Path("failure.json").write_text(json.dumps(fault))
    sys.exit(1)
if fault == "kill":
    print("half a line")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
if isinstance(fault, int):
    sys.exit(fault)
n, zero = len(task["numbers"]), [[0.0] * 3] * 3
np.savez("arrays.npz", eigenvalues_ev=[[[-1.0, 1.0]]], occupations=[[[1.0, 0.0]]],
         kpoints=[[0.0] * 3], weights=[1.0])
Path("result.json").write_text(json.dumps({
    "version": "pretended", "fermi_ev": 0.0, "cell": task["cell"], "scaled": task["scaled"],
    "energy_ev": -1.0 * n, "forces_ev_per_ang": [[0.0] * 3] * n, "stress_gpa": zero,
    "cutoff_ev": task["cutoff_ev"], "datasets": [], "seconds": 0.0}))
"""


@pytest.fixture
def pretender(host, tmp_path_factory):
    """In place of GPAW's Python: it does what `plan` says, one entry each time it is started."""
    import json

    program = tmp_path_factory.mktemp("pretender") / "pretender.py"
    program.write_text(PRETENDER)

    def plan(*faults):
        (host.folder / "plan.json").write_text(json.dumps(faults))
        return (sys.executable, str(program))

    return plan
