"""`stargen hold`, `release`, `retry` and `cancel`: what a person asks of a running campaign."""

from __future__ import annotations

from typing import Annotated

import typer

from stargen.cli.places import Campaign, find_folder
from stargen.errors import UserError

Job = Annotated[str, typer.Argument(metavar="JOB", help="The job.")]
AnyJob = Annotated[str, typer.Argument(metavar="JOB", help="The job; all if left out.")]


def hold(job: AnyJob = "", campaign: Campaign = None) -> None:
    """Send no more tasks of a job; what runs goes on."""
    _ask("hold", job, campaign)


def release(job: AnyJob = "", campaign: Campaign = None) -> None:
    """Let a held job go on."""
    _ask("release", job, campaign)


def retry(job: AnyJob = "", campaign: Campaign = None) -> None:
    """Try the quarantined candidates of a job again."""
    _ask("retry", job, campaign)


def cancel(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A job, or one of its tasks: JOB/NUMBER.")
    ],
    campaign: Campaign = None,
) -> None:
    """End a job, or give up one task; what has come out stays."""
    _ask("cancel-task" if "/" in target else "cancel", target, campaign)


def _ask(action: str, target: str, campaign: str | None) -> None:
    from stargen.master.control import ControlClient, NoMaster

    folder = find_folder(campaign)
    try:
        with ControlClient.of(folder.root) as master:
            master.ask(action, target)
    except NoMaster as error:
        option = f"--{action} {target or 'all'}"
        hint = f"stargen up FILE {option}" if action in ("retry", "release") else None
        raise UserError(error.problem, hint=hint) from error
    typer.echo(f"asked to {action.replace('-task', '')} {target or 'all jobs'}")
