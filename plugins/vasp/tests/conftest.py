"""What the tests share: POTCARs without potentials, and a host that runs a step as a node would."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import SETTINGS
from stargen_vasp import info as infos
from stargen_vasp import potcars
from stargen_vasp.standin.potcars import write_library

from stargen import Candidate, Crystal, Resources
from stargen.calculators.conformance import LocalContext
from stargen.calculators.contract import Finding
from stargen.calculators.registry import make

SYMBOLS = ("Al", "Cu_pv", "Ag", "Ni_pv", "Mg_pv", "O", "Si", "Na_pv", "Cl")
STAND_IN = (sys.executable, "-m", "stargen_vasp.standin.main")
GRACE_S = 2.0
FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return write_library(tmp_path_factory.mktemp("potcars"), SYMBOLS)


@pytest.fixture(autouse=True)
def _potcars(monkeypatch, library):
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(library))
    potcars._load.cache_clear()


@pytest.fixture
def copper():
    """One atom, 3 % too wide."""
    return Candidate("make/0", Crystal.of(FCC * 3.72, [[0, 0, 0]], [29]))


@pytest.fixture
def silicon():
    return Candidate("make/1", Crystal.of(FCC * 5.43, [[0, 0, 0], [0.25] * 3], [14, 14]))


class Host:
    """Runs steps in one folder, one after another, as the node's host does."""

    def __init__(self, folder: Path, monkeypatch):
        self.folder = folder
        self._monkeypatch = monkeypatch
        self.runs = 0
        self.changes = []
        self.resources = Resources(cores=1)
        self.stop_after_s = None

    def plan(self, *faults):
        self._monkeypatch.setenv("STARGEN_MOCK_VASP_FAULTS", json.dumps(faults))

    def setenv(self, name, value):
        self._monkeypatch.setenv(f"STARGEN_MOCK_VASP_{name}", str(value))

    def context(self, verb, **params):
        info = getattr(infos, verb)
        params = {"argv": STAND_IN, "preset": "pbe"} | params
        return info, LocalContext(info.params(**params), use=info.name, resources=self.resources)

    def run(self, verb, candidate, **params):
        info, context = self.context(verb, **params)
        step = make(info)
        command = step.prepare(candidate, self.folder, context)
        self.changes = []
        while True:
            finding, code = self._supervise(step, command)
            finding = finding or step.diagnose(self.folder, code)
            if not isinstance(finding, Finding):
                assert code == 0
                return step.collect(candidate, self.folder, context)
            self.changes.append(step.correct(finding, self.folder))

    def _supervise(self, step, command):
        """Watch one run; what must be stopped is asked, then ended by SIGTERM, then by SIGKILL."""
        self.runs += 1
        with (
            (self.folder / "stdout.txt").open("a") as out,
            (self.folder / "stderr.txt").open("a") as error,
        ):
            process = subprocess.Popen(
                command.argv,
                cwd=self.folder,
                stdout=out,
                stderr=error,
                env={**os.environ, **command.env},
                start_new_session=True,
            )
        began, found, ways = time.monotonic(), None, None
        while process.poll() is None:
            time.sleep(0.1)
            now = time.monotonic()
            assert now - began < 60
            seen = step.watch(self.folder)
            found = seen if isinstance(seen, Finding) else found
            late = self.stop_after_s is not None and now - began > self.stop_after_s
            if ways is None and (late or (found is not None and found.stop)):
                ways, harder_at = [signal.SIGKILL, signal.SIGTERM], now + GRACE_S
                step.stop(self.folder)
            elif ways and now > harder_at:
                os.killpg(process.pid, ways.pop())
                harder_at = now + GRACE_S
        return found, process.returncode


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)
