"""A master in a process of its own: started by `detach`, ``python -m stargen.master.detached``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stargen.config import load_settings
from stargen.errors import UserError
from stargen.master.control import ControlClient, NoMaster
from stargen.master.launch import run
from stargen.store import CampaignFolder

_DETACH_S = 30.0


@dataclass(frozen=True, slots=True)
class Detached:
    """A master that runs in a process of its own; what it says goes to `log`."""

    pid: int
    log: Path


def detach(
    campaign_file: Path, *, folder: Path, config: Path | None = None, takeover: bool = False
) -> Detached:
    """Start a master that outlives this process, and wait until it answers.

    Raises
    ------
    UserError : it ended at once; says why
    """
    place = CampaignFolder(folder)
    place.prepare()
    log = place.run / "master.log"
    command = [sys.executable, "-m", "stargen.master.detached", str(campaign_file.resolve())]
    command += ["--folder", str(folder.resolve())]
    command += ["--config", str(config.resolve())] if config else []
    command += ["--takeover"] if takeover else []
    start = log.stat().st_size if log.exists() else 0
    with log.open("ab") as messages:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            start_new_session=True,
        )
    deadline = time.monotonic() + _DETACH_S
    while time.monotonic() < deadline:
        code = process.poll()
        if code is not None and code != 0:
            said = log.read_bytes()[start:].decode(errors="replace").strip()
            raise UserError(f"the master ended with code {code}: {said or 'it said nothing'}")
        if code == 0 or _answers(folder, process.pid):
            break
        time.sleep(0.05)
    return Detached(process.pid, log)


def _answers(folder: Path, pid: int) -> bool:
    try:
        with ControlClient.of(folder) as client:
            return client.status()["master"]["pid"] == pid
    except NoMaster:
        return False


def main(argv: Sequence[str] | None = None) -> int:
    """What `detach` starts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("campaign_file", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--takeover", action="store_true")
    options = parser.parse_args(argv)
    try:
        outcome = run(
            options.campaign_file,
            settings=load_settings(options.config),
            folder=options.folder,
            takeover=options.takeover,
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    for line in (f"{outcome.state}: {outcome.reason}", *outcome.missing):
        print(line)
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main())
