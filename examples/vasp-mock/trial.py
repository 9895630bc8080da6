"""Campaigns of copper through the stand-in, and what their journals say became of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ase.build import bulk
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from stargen.crystal import Candidate, decode_drops, decode_entry
from stargen.journal import read_entry, read_records
from stargen.model import Location
from stargen.processes import processes
from stargen.records import CandidateQuarantined, TaskFailed, TasksFinished, decode

HERE = Path(__file__).parent

CAMPAIGN = """\
[campaign]
name = "trial"
chemistry = {{ allow = ["Cu"] }}

[[job]]
name = "read"
use = "structures.read"
params = {{ path = "copper.extxyz" }}

[[job]]
name = "dft"
input = "read"
retries = {{ calculation = 0, infrastructure = 3 }}
resources = {{ cores = 1, walltime_s = {walltime_s} }}
"""
STEP = """\
[[job.step]]
use = "vasp.{verb}"
preset = "pbe"
kspacing = 1.2
incar = {{ EDIFFG = -1e-4 }}
silent_s = 10
start_s = 15
"""
_DFT = 1
_LOWERED_EV, _SAME_EV = 4.0, 1e-3
"""The stand-in lowers the energies of EMT, which has copper at 0."""


class Failure(NamedTuple):
    """An attempt that failed: its class, when, and why."""

    failure: str
    at: float
    message: str


@dataclass(slots=True)
class Fate:
    """What became of one candidate.

    Parameters
    ----------
    failures : attempts that failed
    end : kept, dropped or quarantined, with the reason
    """

    failures: list[Failure] = field(default_factory=list)
    end: str = "unaccounted"
    times_ended: int = 0
    candidate: Candidate | None = None

    @property
    def kept(self) -> bool:
        return self.candidate is not None

    @property
    def corrections(self) -> list[dict[str, Any]]:
        if self.candidate is None:
            return []
        told = [v for k, v in self.candidate.data.items() if k.startswith("vasp.")]
        return max((step["corrections"] for step in told), key=len, default=[])


def write(folder: Path, count: int, verbs: list[str], walltime_s: float = 120.0) -> None:
    """A campaign of `count` copper crystals, each wider than the one before."""
    frames = []
    for k in range(count):
        half = 1.82 + 0.05 * k / count
        rows = ((0, half, half), (half, 0, half), (half, half, 0))
        lattice = " ".join(f"{x:.6f}" for row in rows for x in row)
        frames.append(f'1\nLattice="{lattice}" Properties=species:S:1:pos:R:3\nCu 0.0 0.0 0.0\n')
    (folder / "copper.extxyz").write_text("".join(frames))
    text = CAMPAIGN.format(walltime_s=walltime_s) + "".join(STEP.format(verb=v) for v in verbs)
    (folder / "campaign.toml").write_text(text)
    (folder / "stargen.toml").write_text((HERE / "stargen.toml").read_text())


def environment(folder: Path, plan: list[dict[str, Any]]) -> dict[str, str]:
    """With POTCARs without potentials, the plan of faults, and the programs of this Python."""
    programs = Path(sys.executable).parent
    subprocess.run(
        [programs / "stargen-mock-potcars", folder / "potcars"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PMG_VASP_PSP_DIR": str(folder / "potcars"),
        "STARGEN_MOCK_VASP_FAULTS": json.dumps(plan),
    }


def start(folder: Path, environ: dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    """`stargen up`, in `folder`."""
    with (folder / "up.log").open("ab") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "stargen.cli",
                "up",
                "campaign.toml",
                "--folder",
                "out",
                *options,
            ],
            cwd=folder,
            env=environ,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def fates(folder: Path, count: int) -> dict[str, Fate]:
    """{candidate: its fate}, from the journal alone."""
    journal = folder / "out" / "journal"
    found = {f"read/{k}": Fate() for k in range(count)}
    failures: dict[int, list[Failure]] = {}
    names: dict[int, str] = {}
    for _, body in read_records(journal):
        record = decode(body)
        match record:
            case TasksFinished(job=job) if job == _DFT:
                for row in record.rows:
                    names[row.ordinal] = _finished(journal, row, found)
            case TaskFailed(job=job) if job == _DFT:
                told = Failure(record.failure, record.at, record.message)
                failures.setdefault(record.ordinal, []).append(told)
            case CandidateQuarantined(job=job) if job == _DFT:
                entry = read_entry(journal, Location(*record.location))
                name = names[record.ordinal] = decode_entry(entry).candidate_id
                found[name].end = f"quarantined: {record.reason}"
                found[name].times_ended += 1
            case _:
                pass
    for ordinal, told in failures.items():
        if ordinal in names:
            found[names[ordinal]].failures = told
    return found


def failed_attempts(folder: Path) -> Counter[str]:
    """{message: how many attempts failed with it}."""
    records = (decode(body) for _, body in read_records(folder / "out" / "journal"))
    return Counter(record.message for record in records if isinstance(record, TaskFailed))


def _finished(journal: Path, row: Any, found: dict[str, Fate]) -> str:
    at, name = row.offset, ""
    for size in row.sizes:
        candidate = decode_entry(read_entry(journal, Location(row.segment, at, size)))
        name, at = candidate.candidate_id, at + size
        found[name].candidate, found[name].end = candidate, "kept"
        found[name].times_ended += 1
    if row.drops_size:
        block = read_entry(journal, Location(row.segment, at, row.drops_size))
        for drop in decode_drops(block):
            name = drop.candidate_id
            found[name].end = f"dropped: {drop.reason} ({drop.detail})"
            found[name].times_ended += 1
    return name


def wrong_energies(found: dict[str, Fate]) -> list[str]:
    """Candidates whose energy is not that of the same crystal relaxed here, without Star-gen."""
    atoms = bulk("Cu", cubic=False)
    atoms.calc = EMT()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-4)
    right = float(atoms.get_potential_energy()) - _LOWERED_EV
    return [
        name
        for name, fate in found.items()
        if fate.candidate is not None
        and abs(float(fate.candidate.properties["energy_per_atom"] or 0.0) - right) > _SAME_EV
    ]


def left_over(folder: Path) -> list[int]:
    """Processes that still work below `folder`, or in scratch made for it."""
    marked = f"PMG_VASP_PSP_DIR={folder / 'potcars'}".encode()
    left = []
    for process in processes():
        try:
            environ = Path(f"/proc/{process.pid}/environ").read_bytes()
        except OSError:
            continue
        if marked in environ and b"STARGEN_AGENT=" in environ:
            left.append(process.pid)
    return left
