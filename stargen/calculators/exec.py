"""exec.run: any command as a calculator, one run per candidate.

    use = "exec.run"
    argv = ["my-code", "--in", "{input}", "--out", "{output}"]
    input = "cif"
    output = "result.json"

The command runs in a folder of its own. Braces name what is filled in: {folder}, {input}, {output}
(full paths), {id}, {formula}, {cores}, {job}, {python} (the interpreter that Star-gen runs on) and
{hosts} (with commas between them, those of a task with ``nodes = n``); {{ and }} stand for braces.
The output is a JSON object with any of these keys::

    {"properties": {"energy_ev": -3.2}, "drop": "why it goes no further",
     "crystal": {"lattice": [[...]], "frac_coords": [[...]], "numbers": [...]}}

Where neither input, output nor {folder} is asked for, no folder is made.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import Any, Literal, cast

import numpy as np

from stargen.calculators.contract import (
    CalculatorInfo,
    Change,
    Command,
    Context,
    Finding,
    Progress,
)
from stargen.crystal import Candidate, Crystal, Drop, Envelope
from stargen.errors import BadResult
from stargen.model import Request, Resources

InputFormat = Literal["none", "cif", "poscar", "json"]

_INPUT_NAMES: dict[InputFormat, str] = {
    "cif": "input.cif",
    "poscar": "POSCAR",
    "json": "input.json",
}
_FILES = frozenset({"folder", "input", "output"})
_NAMES = _FILES | {"id", "formula", "cores", "job", "hosts", "python"}


@dataclass(frozen=True, slots=True)
class ExecParams:
    """What to run.

    Parameters
    ----------
    argv : the command and its arguments; the first may be a name of the site file's `commands`
    input : how the candidate is written before the run
    output : JSON file that the command leaves in its folder; empty for none
    env : environment variables to add
    ok_codes : exit codes that mean success
    timeout_s : seconds after which it is stopped
    """

    argv: tuple[str, ...]
    input: InputFormat = "none"
    output: str = ""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    ok_codes: tuple[int, ...] = (0,)
    timeout_s: float | None = None


class Run:
    """The program that `exec.run` is."""

    def __init__(self) -> None:
        self._params: ExecParams | None = None
        self._needs_folder = self._is_constant = False

    def needs_folder(self, context: Context) -> bool:
        """False if nothing is written or read, so that the node can save the trouble."""
        self._read(context.params)
        return self._needs_folder

    def _read(self, params: ExecParams) -> None:
        """What the parameters ask for, found out once: it is asked for before each run."""
        if params is self._params:
            return
        texts = (*params.argv, *params.env.values())
        self._needs_folder = (
            params.input != "none"
            or bool(params.output)
            or any(_FILES.intersection(_fields(text)) for text in texts)
        )
        self._is_constant = not any("{" in text for text in texts)
        self._params = params

    def prepare(self, candidate: Candidate, folder: Path, context: Context) -> Command:
        params: ExecParams = context.params
        if params.input != "none":
            text = _WRITERS[params.input](candidate)
            (folder / _INPUT_NAMES[params.input]).write_text(text, encoding="utf-8")
        self._read(params)
        if self._is_constant:
            return Command(params.argv, params.env, ok_codes=params.ok_codes)
        words = {
            "folder": str(folder),
            "input": str(folder / _INPUT_NAMES.get(params.input, "")),
            "output": str(folder / params.output),
            "id": candidate.candidate_id,
            "formula": candidate.crystal.formula,
            "cores": str(max(1, context.resources.cores)),
            "job": context.job,
            "hosts": ",".join(context.hosts) or socket.gethostname(),
            "python": sys.executable,
        }
        return Command(
            tuple(text.format(**words) for text in params.argv),
            {name: text.format(**words) for name, text in params.env.items()},
            ok_codes=params.ok_codes,
        )

    def watch(self, folder: Path) -> Progress | Finding | None:
        """Nothing is known of its output."""
        return None

    def correct(self, finding: Finding, folder: Path) -> Change | None:
        """Nor of its faults."""
        return None

    def stop(self, folder: Path) -> bool:
        """Only a signal can stop it."""
        return False

    def collect(self, candidate: Candidate, folder: Path, context: Context) -> Candidate | Drop:
        params: ExecParams = context.params
        if not params.output:
            return candidate
        result = _read(folder / params.output)
        if "drop" in result:
            return candidate.drop(str(result["drop"]))
        return candidate.with_(_crystal(result), **result.get("properties", {}))


def _read(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadResult(f"no output {path.name}: {error.strerror}") from error
    except ValueError as error:
        raise BadResult(f"{path.name} is not JSON: {error}") from error
    if not isinstance(result, dict):
        raise BadResult(f"{path.name} holds no JSON object")
    found = cast("dict[str, Any]", result)
    if not isinstance(found.get("properties", {}), dict):
        raise BadResult(f"`properties` in {path.name} is not a JSON object")
    return found


def _crystal(result: Mapping[str, Any]) -> Crystal | None:
    if "crystal" not in result:
        return None
    try:
        parts = result["crystal"]
        return Crystal.of(parts["lattice"], parts["frac_coords"], parts["numbers"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadResult(f"the crystal in the output is none: {error!r}") from error


def _json(candidate: Candidate) -> str:
    crystal = candidate.crystal
    return json.dumps(
        {
            "id": candidate.candidate_id,
            "lattice": crystal.lattice.tolist(),
            "frac_coords": crystal.frac_coords.tolist(),
            "numbers": crystal.numbers.tolist(),
            "symbols": crystal.symbols,
            "properties": dict(candidate.properties),
        }
    )


def _poscar(candidate: Candidate) -> str:
    """VASP 5 form; sites keep their order, so a symbol may appear more than once."""
    crystal = candidate.crystal
    runs: list[tuple[str, int]] = []
    for symbol in crystal.symbols:
        if runs and runs[-1][0] == symbol:
            runs[-1] = (symbol, runs[-1][1] + 1)
        else:
            runs.append((symbol, 1))
    lines = [candidate.candidate_id, "1.0", *map(_row, crystal.lattice.tolist())]
    lines += [" ".join(symbol for symbol, _ in runs), " ".join(str(n) for _, n in runs), "Direct"]
    lines += map(_row, crystal.frac_coords.tolist())
    return "\n".join(lines) + "\n"


def _cif(candidate: Candidate) -> str:
    """All atoms listed, space group P 1."""
    crystal = candidate.crystal
    lengths = np.linalg.norm(crystal.lattice, axis=1)
    cosines = (crystal.lattice @ crystal.lattice.T) / np.outer(lengths, lengths)
    angles = np.degrees(np.arccos(np.clip(cosines[[1, 0, 0], [2, 2, 1]], -1.0, 1.0)))
    cell = dict(zip((f"_cell_length_{x}" for x in "abc"), lengths.tolist(), strict=True))
    names = (f"_cell_angle_{name}" for name in ("alpha", "beta", "gamma"))
    cell |= dict(zip(names, angles.tolist(), strict=True))
    lines = [f"data_{crystal.formula}"]
    lines += [f"{name} {value:.10f}" for name, value in cell.items()]
    lines += ["_symmetry_space_group_name_H-M 'P 1'", "_symmetry_Int_Tables_number 1"]
    lines += ["loop_", "_symmetry_equiv_pos_as_xyz", "'x, y, z'", "loop_"]
    lines += [f"_atom_site_{name}" for name in ("label", "type_symbol", "occupancy")]
    lines += [f"_atom_site_fract_{axis}" for axis in "xyz"]
    sites = zip(crystal.symbols, crystal.frac_coords.tolist(), strict=True)
    lines += [f"{symbol}{i} {symbol} 1.0 {_row(at)}" for i, (symbol, at) in enumerate(sites, 1)]
    return "\n".join(lines) + "\n"


def _row(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:.16g}" for number in numbers)


_WRITERS = {"json": _json, "poscar": _poscar, "cif": _cif}


def _fields(text: str) -> set[str]:
    """The names in braces. ValueError if the braces do not match."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def _resources(params: ExecParams, envelope: Envelope | None) -> Request:
    return (Resources(walltime_s=params.timeout_s),)


def _check(params: ExecParams, folder: Path) -> Iterable[str]:
    if not params.argv:
        yield "argv is empty: name a command"
    for text in (*params.argv, *params.env.values()):
        try:
            unknown = _fields(text) - _NAMES
        except ValueError as error:
            yield f"{text!r}: {error}; write {{{{ and }}}} for braces"
            continue
        for name in sorted(unknown):
            yield f"{text!r}: {{{name}}} is unknown; known are {', '.join(sorted(_NAMES))}"
    if params.output and Path(params.output).name != params.output:
        yield f"output = {params.output!r}: must be a file name, without a folder"
    if params.timeout_s is not None and params.timeout_s <= 0:
        yield f"timeout_s = {params.timeout_s:g}: must be positive"


run = CalculatorInfo(
    name="exec.run",
    api=1,
    factory="stargen.calculators.exec:Run",
    program=True,
    params=ExecParams,
    resources=_resources,
    grain=1,
    check=_check,
    properties=("*",),
    reuse="never",
    summary="Runs any command for each candidate",
)
