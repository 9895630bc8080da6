"""Nodes from a batch system: allocations are submitted, looked for in the queue, and cancelled.

qtoolkit renders the scripts, names the commands and reads what they print; they are run here, on
this machine or on a login host. In an allocation `stargen.launchers.pilot` starts an agent on each
of its nodes and lets it report to the master. What an allocation's script needs lies in the
campaign's folder, under ``run/allocations``: NAME.sh, NAME.json, and NAME.out for what it prints.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from qtoolkit.core.data_objects import QJob, QState, SubmissionStatus
from qtoolkit.core.exceptions import QTKError

from stargen.config import Pool
from stargen.errors import NodeError
from stargen.launchers.agentprocess import interpreter
from stargen.launchers.bootstrap import Bootstrap, packages_of
from stargen.launchers.commands import LocalShell, Shell, put_file
from stargen.launchers.language import System
from stargen.launchers.onnode import answer_in, settings_to_json, trials_to_json
from stargen.launchers.report import NodeReport
from stargen.launchers.ssh import host_of
from stargen.launchers.trying import LONGEST_S, Trial
from stargen.machine import ENDS_AT
from stargen.transport.meeting import MeetingPlace
from stargen.transport.ssh import Finished

QUEUE = "the queue"
_PATIENCE_S = 60.0
_CHECK_S = 120.0
_CHECK_EVERY_S = 1.0
_TAIL_LINES = 20

_QUEUED = frozenset({QState.QUEUED, QState.QUEUED_HELD, QState.REQUEUED, QState.REQUEUED_HELD})
_OVER = frozenset({QState.DONE, QState.FAILED})


@dataclass(frozen=True, slots=True)
class AllocationSpec:
    """An allocation to be asked for.

    Parameters
    ----------
    name : unique among those of the campaign that live
    folder : the campaign's, as the master sees it
    """

    name: str
    pool: str
    settings: Pool
    nodes: int
    walltime_s: float
    campaign_id: str
    folder: Path
    lease_s: float

    @property
    def there(self) -> Path:
        """The campaign's folder as the nodes see it."""
        return folder_there(self.settings, self.folder, self.campaign_id)

    @property
    def job_name(self) -> str:
        return f"{job_prefix(self.campaign_id)}{self.name}"

    def file(self, suffix: str) -> Path:
        return self.there / "run" / "allocations" / f"{self.name}.{suffix}"


@dataclass(frozen=True, slots=True)
class QueueRow:
    """How an allocation stands in the queue: "queued", "running" or "ended"."""

    job_id: str
    state: str
    reason: str


class BatchLauncher:
    """The batch system of one pool."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._shell: Shell | None = None
        self._user = ""
        self._bootstrap = Bootstrap()

    # --- allocations ------------------------------------------------------------------------------

    async def submit(self, spec: AllocationSpec) -> str:
        """Ask for an allocation; the number that the batch system gives it.

        Raises
        ------
        NodeError : it refuses, with its words; or it cannot be reached
        """
        shell = self._at(spec.settings)
        told = {
            "name": spec.name,
            "nodes": spec.nodes,
            "pool": spec.pool,
            "campaign_id": spec.campaign_id,
            "folder": str(spec.there),
            "lease_s": spec.lease_s,
            "margin_s": spec.settings.batch.margin_s,
            "scratch": spec.settings.scratch,
            "limits": asdict(spec.settings.limits),
        }
        await put_file(shell, spec.file("json"), json.dumps(told).encode(), 0o600, _PATIENCE_S)
        python = interpreter(await self._ready(spec.settings))
        pilot = [python, "-m", "stargen.launchers.pilot", str(spec.file("json"))]
        if spec.nodes > 1:
            pilot = [*self._system.spread(spec.nodes, spec.settings.limits.cores or 1), *pilot]
        return await self._send(
            spec.settings, spec.job_name, spec.file("sh"), spec.walltime_s, pilot, spec.nodes
        )

    async def _send(
        self,
        settings: Pool,
        job_name: str,
        script: Path,
        walltime_s: float,
        command: Sequence[str],
        nodes: int = 1,
    ) -> str:
        """Submit a script that runs `command`; the number of the job."""
        system, shell = self._system, self._at(settings)
        options = system.header(settings, nodes) | system.walltime(walltime_s)
        options |= {"job_name": job_name, "qout_path": str(script.with_suffix(".out"))}
        text = system.io.get_submission_script(_body(settings, walltime_s, command), options)
        await put_file(shell, script, text.encode(), 0o700, _PATIENCE_S)
        line = system.io.get_submit_cmd(shlex.quote(str(script)))
        clear = f"rm -f {shlex.quote(str(script.with_suffix('.out')))}"
        done = await shell.run(
            f"cd {shlex.quote(str(script.parent))} && {clear} && {line}", _PATIENCE_S
        )
        try:
            result = system.io.parse_submit_output(done.status, done.stdout, done.stderr)
        except QTKError as error:
            raise NodeError(f"{_said(done)} ({error})", node=job_name) from error
        if result.status != SubmissionStatus("SUCCESSFUL") or not result.job_id:
            raise NodeError(_said(done), node=job_name)
        return str(result.job_id)

    async def submit_master(
        self, settings: Pool, job_name: str, script: Path, command: Sequence[str]
    ) -> str:
        """Ask for an allocation in which a master runs, as long as they last; its number.

        Raises
        ------
        NodeError : as `submit`
        """
        batch = settings.batch
        lines = (*self._system.notice(2 * batch.margin_s), *batch.lines)
        settings = replace(settings, batch=replace(batch, lines=lines))
        try:
            return await self._send(settings, job_name, script, batch.ladder_s[-1], command)
        finally:
            await self.close()

    async def look(
        self, settings: Pool, campaign_id: str, known: Mapping[str, str], *, all_: bool = False
    ) -> dict[str, QueueRow]:
        """What the queue says of the campaign's allocations, by their names, by one command.

        Parameters
        ----------
        known : {name: job number}; whoever of these does not appear in the answer is over
        all_ : look for others of the campaign as well, where that is more work

        Raises
        ------
        NodeError : the queue cannot be asked, so nothing is known
        """
        io = self._system.io
        if self._system.by_user or all_:
            line = io.get_jobs_list_cmd(None, await self._who(settings))
        elif known:
            line = io.get_jobs_list_cmd(list(known.values()), None)
        else:
            return {}
        done = await self._at(settings).run(line, _PATIENCE_S)
        try:
            jobs = io.parse_jobs_list_output(done.status, done.stdout, done.stderr)
        except (QTKError, ValueError, KeyError) as error:
            raise NodeError(f"the queue cannot be read: {error}", node=QUEUE) from error
        names = {job_id: name for name, job_id in known.items()}
        reasons = self._system.reasons(done.stdout)
        found: dict[str, QueueRow] = {}
        for job in jobs:
            name = names.get(str(job.job_id)) or _name_of(job, campaign_id)
            if name is not None:
                found[name] = _row(job, reasons.get(str(job.job_id), ""))
        return found

    async def cancel(self, settings: Pool, job_ids: Sequence[str]) -> None:
        """Cancel jobs; those that have ended meanwhile are no error.

        Raises
        ------
        NodeError : the batch system cannot be reached
        """
        if job_ids:
            lines = [self._system.io.get_cancel_cmd(job_id) for job_id in job_ids]
            await self._at(settings).run("; ".join(lines), _PATIENCE_S)

    async def last_words(self, spec: AllocationSpec, job_id: str, *, output: bool) -> str:
        """How an allocation ended, as far as anybody knows, and the end of its `output`.

        Raises
        ------
        NodeError : nobody can be asked
        """
        shell = self._at(spec.settings)
        parts: list[str] = []
        line = self._system.last_state(job_id)
        if line:
            done = await shell.run(line, _PATIENCE_S)
            parts.append(self._system.read_last_state(done.stdout))
        if output:
            file = shlex.quote(str(spec.file("out")))
            done = await shell.run(f"tail -n {_TAIL_LINES} {file} 2>/dev/null", _PATIENCE_S)
            parts.append(done.stdout.strip())
        return "\n".join(part for part in parts if part)

    async def share(self, settings: Pool, folder: Path, campaign_id: str) -> None:
        """Put keys and the master's address where nodes see them that do not see our folder.

        Raises
        ------
        NodeError : they cannot be put there
        """
        if settings.folder is not None:
            here = MeetingPlace.of(folder)
            there = MeetingPlace.of(folder_there(settings, folder, campaign_id))
            for mine, its in ((here.agent_key, there.agent_key), (here.note, there.note)):
                await put_file(self._at(settings), its, mine.read_bytes(), 0o600, _PATIENCE_S)

    async def close(self) -> None:
        if self._shell is not None:
            await self._shell.close()

    # --- before a campaign ------------------------------------------------------------------------

    async def report(
        self, host: str, settings: Pool, token: Path, trials: Sequence[Trial] = ()
    ) -> NodeReport:
        """What a node of the pool says of itself, by a short job that is queued as any other.

        Raises
        ------
        NodeError : the job is refused, does not start in time, or cannot say
        """
        name = f"stargen-check-{secrets.token_hex(4)}"
        folder = Path(settings.folder) if settings.folder else token.parent
        script = folder / f".{name}.sh"
        output = script.with_suffix(".out")
        words = ("report", settings_to_json(settings), str(token), trials_to_json(trials))
        shell = self._at(settings)
        job = ""
        try:
            python = interpreter(await self._ready(settings))
            command = [python, "-m", "stargen.launchers.onnode", *words]
            job = await self._send(settings, name, script, settings.batch.ladder_s[0], command)
            return NodeReport(**await self._answer(shell, output, job, settings, trials))
        finally:
            if job:
                await self.cancel(settings, [job])
            await shell.run(
                f"rm -f {shlex.quote(str(script))} {shlex.quote(str(output))}", _PATIENCE_S
            )
            await shell.close()

    async def _answer(
        self, shell: Shell, output: Path, job: str, settings: Pool, trials: Sequence[Trial]
    ) -> dict[str, Any]:
        patience_s = _CHECK_S + LONGEST_S * len(trials)
        deadline = time.monotonic() + patience_s
        seen, waits = "", ""
        while time.monotonic() < deadline:
            done = await shell.run(f"cat {shlex.quote(str(output))} 2>/dev/null", _PATIENCE_S)
            answer = answer_in(done.stdout)
            if answer is not None:
                return answer
            row = (await self.look(settings, "", {"check": job})).get("check")
            if row is None or row.state == "ended":
                if done.stdout == seen and seen:
                    raise NodeError(
                        f"job {job} ended without an answer: {seen.strip()}", node=QUEUE
                    )
                seen = done.stdout or " "
            elif row.reason:
                waits = f", it waits ({row.reason})"
            await asyncio.sleep(_CHECK_EVERY_S)
        said = f"job {job} did not answer in {patience_s:g} s{waits}; it was cancelled"
        raise NodeError(said, node=QUEUE)

    # --- the machine that the commands run on -----------------------------------------------------

    def _at(self, settings: Pool) -> Shell:
        if self._shell is None:
            login = settings.batch.login
            self._shell = LocalShell() if login is None else host_of(login, settings.ssh)
        return self._shell

    async def _ready(self, settings: Pool) -> Pool:
        """The settings, with an interpreter that has Star-gen where login and nodes see it."""
        login, place = settings.batch.login or "this machine", packages_of(settings)
        return await self._bootstrap.ready(login, self._at(settings), settings, place)

    async def _who(self, settings: Pool) -> str:
        if not self._user:
            done = await self._at(settings).run("id -un", _PATIENCE_S)
            self._user = done.stdout.strip() or os.environ.get("USER", "")
        return self._user


def job_prefix(campaign_id: str) -> str:
    """What the names of a campaign's jobs begin with in the queue."""
    return f"sg-{campaign_id[:8]}-"


def folder_there(settings: Pool, folder: Path, campaign_id: str) -> Path:
    """A campaign's folder on nodes of a pool that may not share the master's disk."""
    if settings.folder is None:
        return folder
    return Path(settings.folder) / f"{folder.name}-{campaign_id}"


def _body(settings: Pool, walltime_s: float, command: Sequence[str]) -> list[str]:
    """The lines of a script behind its head: when it ends, what the site needs, the command."""
    ends = f"$(( $(date +%s) + {int(walltime_s)} ))"
    return [
        f"export {ENDS_AT}=${{SLURM_JOB_END_TIME:-{ends}}}",
        *(["set -e", *settings.setup] if settings.setup else ()),
        f"exec {shlex.join(command)}",
    ]


def _name_of(job: QJob, campaign_id: str) -> str | None:
    prefix = job_prefix(campaign_id)
    name = str(job.name or "")
    return name[len(prefix) :] if campaign_id and name.startswith(prefix) else None


def _row(job: QJob, reason: str) -> QueueRow:
    state = "ended" if job.state in _OVER else "queued" if job.state in _QUEUED else "running"
    return QueueRow(str(job.job_id), state, reason)


def _said(done: Finished) -> str:
    words = done.stderr.strip() or done.stdout.strip() or "it said nothing"
    return f"{words} (exit status {done.status})" if done.status else words
