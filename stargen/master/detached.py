"""A master in a process of its own: started by `detach`, ``python -m stargen.master.detached``."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stargen.calculators.registry import Registry
from stargen.config import Settings, load_settings
from stargen.errors import NodeError, UserError
from stargen.master.control import ControlClient, NoMaster
from stargen.master.launch import run
from stargen.store import CampaignFolder

_DETACH_S = 30.0


@dataclass(frozen=True, slots=True)
class Detached:
    """A master that runs in a process of its own; what it says goes to `log`."""

    pid: int
    log: Path


@dataclass(frozen=True, slots=True)
class Submitted:
    """A master that runs, or will run, as job `job` of a batch system; it prints to `output`."""

    job: str
    output: Path


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
    command = command_line(campaign_file, folder, config, takeover=takeover)
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


def submit(
    campaign_file: Path,
    *,
    folder: Path,
    settings: Settings,
    pool: str,
    config: Path | None = None,
    takeover: bool = False,
) -> Submitted:
    """Have a batch system start a master on one of its nodes.

    Parameters
    ----------
    pool : whose batch system, and by whose account

    Raises
    ------
    UserError : there is no such pool, or the batch system refuses
    """
    from stargen.launchers.batch import BatchLauncher, job_prefix

    its = settings.pool.get(pool)
    if its is None or not its.is_batch:
        known = [name for name, each in settings.pool.items() if each.is_batch]
        hint = f"there are: {', '.join(known)}" if known else 'its launcher is "slurm" or the like'
        raise UserError(f"there is no pool {pool} of a batch system", hint=hint)
    place = CampaignFolder(folder.resolve())
    place.prepare()
    script = place.run / "allocations" / "master.sh"
    launcher: BatchLauncher = Registry.installed().load("launchers", its.launcher)()
    command = command_line(campaign_file, folder, config, takeover=takeover)
    name = f"{job_prefix(place.root.name)}master"
    try:
        job = asyncio.run(launcher.submit_master(its, name, script, command))
    except NodeError as error:
        raise UserError(f"the batch system takes no master: {error.problem}") from error
    return Submitted(job, script.with_suffix(".out"))


def command_line(
    campaign_file: Path, folder: Path, config: Path | None, *, takeover: bool
) -> list[str]:
    """What runs a master wherever it is started."""
    command = [sys.executable, "-m", "stargen.master.detached", str(campaign_file.resolve())]
    command += ["--folder", str(folder.resolve())]
    command += ["--config", str(config.resolve())] if config else []
    command += ["--takeover"] if takeover else []
    return command


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
