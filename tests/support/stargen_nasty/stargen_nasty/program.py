"""An external program in several steps, each of which needs the files of those before it."""

from __future__ import annotations

from pathlib import Path

from stargen.calculators.contract import Change, Command, Context, Finding, Progress
from stargen.crystal import Candidate, Drop
from stargen_nasty.calculators import note

_SCRIPT = 'sleep "$1" && echo "$2" > "part-$3"'


class Part:
    """One step: a shell that takes its time and leaves a number drawn by chance."""

    def prepare(self, candidate: Candidate, folder: Path, context: Context) -> Command:
        params, name = context.params, candidate.candidate_id
        note(context.input_file(params.log), f"{context.job} {name} {params.part}")
        number = context.rng(name, params.part).integers(1000)
        return Command(
            ("sh", "-c", _SCRIPT, "sh", str(params.seconds), str(number), str(params.part))
        )

    def watch(self, folder: Path) -> Progress | Finding | None:
        return None

    def correct(self, finding: Finding, folder: Path) -> Change | None:
        return None

    def stop(self, folder: Path) -> bool:
        return False

    def collect(self, candidate: Candidate, folder: Path, context: Context) -> Candidate | Drop:
        parts = sorted(folder.glob("part-*"))
        if len(parts) != context.params.part:
            return candidate.drop("files are missing", f"{len(parts)} of {context.params.part}")
        return candidate.with_(parts=len(parts), weight=sum(int(p.read_text()) for p in parts))
