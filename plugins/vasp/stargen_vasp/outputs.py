"""What a run has written so far, read from the ends of its files.

Looked at every second while VASP runs, so nothing here reads a whole OUTCAR.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

OUTPUTS = ("stdout.txt", "stderr.txt", "OSZICAR", "OUTCAR", "vasprun.xml")
"""What a run writes, and what must not be taken for the next run's."""

_PRINTED_BYTES = 256 * 1024
_OUTCAR_BYTES = 128 * 1024
_OSZICAR_BYTES = 512 * 1024

_ELECTRONIC = re.compile(r"^\s*(?:DAV|RMM|CG|SDA|DMP|DIA|ACFDT)\s*:\s*(\d+)\s+(\S+)\s+(\S+)")
_IONIC = re.compile(r"^\s*(\d+)\s+F=\s*(\S+)\s+E0=\s*(\S+)")
_LOOP = re.compile(r"LOOP(\+?):\s+cpu time\s*\S+:\s+real time\s*(\d+\.\d+)")


class IonicStep(NamedTuple):
    """One ionic step of OSZICAR: its number, energy E0 (eV) and number of electronic steps."""

    number: int
    energy_ev: float
    electronic: int


class Outputs:
    """The files of one run in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def tag(self, name: str, default: Any) -> Any:
        """The value of an INCAR tag."""
        return self._incar.get(name, default)

    @cached_property
    def _incar(self) -> dict[str, Any]:
        from pymatgen.io.vasp.inputs import Incar

        try:
            return Incar.from_file(str(self.folder / "INCAR"))
        except (OSError, ValueError):
            return {}

    @cached_property
    def n_atoms(self) -> int:
        """By POSCAR; 0 if that cannot be read."""
        lines = head(self.folder / "POSCAR", 4096).splitlines()[6:7]
        return sum(int(word) for word in lines[0].split() if word.isdigit()) if lines else 0

    @cached_property
    def printed(self) -> str:
        """Standard output and error, their last 256 KiB each."""
        names = ("stdout.txt", "stderr.txt")
        return "\n".join(tail(self.folder / name, _PRINTED_BYTES) for name in names)

    @cached_property
    def outcar(self) -> str:
        return tail(self.folder / "OUTCAR", _OUTCAR_BYTES)

    @cached_property
    def has_ended(self) -> bool:
        """VASP itself says that it came to its end."""
        return "General timing and accounting" in self.outcar

    @cached_property
    def xml_is_whole(self) -> bool:
        return tail(self.folder / "vasprun.xml", 200).rstrip().endswith("</modeling>")

    @cached_property
    def was_stopped(self) -> bool:
        """A STOPCAR ended it: nothing that it says of convergence counts."""
        return "soft stop encountered" in self.outcar or "hard stop encountered" in self.outcar

    @cached_property
    def forces_converged(self) -> bool:
        mark = "reached required accuracy"
        return not self.was_stopped and (mark in self.printed or mark in self.outcar)

    @cached_property
    def ionic_steps(self) -> list[IonicStep]:
        """Finished ionic steps, the last few hundred of them at least."""
        return _steps(tail(self.folder / "OSZICAR", _OSZICAR_BYTES))[0]

    @cached_property
    def oszicar_end(self) -> list[str]:
        """Its last lines; the last ionic step's line bears the moment."""
        return tail(self.folder / "OSZICAR", 4096).splitlines()

    @cached_property
    def electronic_now(self) -> int:
        """Electronic steps of the ionic step at hand."""
        return _steps(tail(self.folder / "OSZICAR", _OSZICAR_BYTES))[1]

    @cached_property
    def electrons_converged(self) -> bool:
        """Whether the last ionic step ended for its energy and not for its number of steps."""
        last = self.outcar.rfind("aborting loop ")
        return last >= 0 and "EDIFF is reached" in self.outcar[last : last + 60]

    @cached_property
    def slowest_step_s(self) -> float:
        """Wall seconds of the slowest ionic step in sight."""
        return max((float(s) for plus, s in _LOOP.findall(self.outcar) if plus), default=0.0)

    @cached_property
    def slowest_electronic_s(self) -> float:
        """Wall seconds of the slowest electronic step in sight."""
        return max((float(s) for plus, s in _LOOP.findall(self.outcar) if not plus), default=0.0)

    @cached_property
    def last_written(self) -> float | None:
        """When anything was written last, seconds since the epoch; None if nothing was."""
        times: list[float] = []
        for name in OUTPUTS:
            try:
                status = (self.folder / name).stat()
            except OSError:
                continue
            if status.st_size:
                times.append(status.st_mtime)
        return max(times, default=None)

    def last_lines(self, count: int = 20) -> str:
        """The end of what it printed, for people."""
        lines = [line for line in self.printed.splitlines() if line.strip()]
        return "\n".join(lines[-count:])

    @cached_property
    def last_words(self) -> str:
        """Its last line, unless that tells only of its progress."""
        line = self.last_lines(1).strip(" |\r")
        return "" if _ELECTRONIC.match(line) or _IONIC.match(line) else line[:160]


def tail(path: Path, limit: int) -> str:
    """The end of a text file; nothing if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - limit))
            return file.read(limit).decode(errors="replace")
    except OSError:
        return ""


def head(path: Path, limit: int) -> str:
    """The beginning of a text file; nothing if there is none."""
    try:
        with path.open("rb") as file:
            return file.read(limit).decode(errors="replace")
    except OSError:
        return ""


def _steps(text: str) -> tuple[list[IonicStep], int]:
    """Finished ionic steps, and electronic steps after the last of them."""
    steps: list[IonicStep] = []
    electronic = 0
    for line in text.splitlines():
        found = _ELECTRONIC.match(line)
        if found is not None:
            electronic = int(found[1])
            continue
        ionic = _IONIC.match(line)
        if ionic is not None:
            steps.append(IonicStep(int(ionic[1]), _number(ionic[3]), electronic))
            electronic = 0
    return steps, electronic


def _number(text: str) -> float:
    """A Fortran number; not-a-number where it did not fit its field."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
