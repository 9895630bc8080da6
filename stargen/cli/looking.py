"""`stargen status`, `explain` and `failures`: what a campaign does, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargen.cli.pictures import INTERRUPTED, picture_of
from stargen.cli.places import Campaign, find_folder
from stargen.cli.tables import (
    JOB_HEADINGS,
    allocation_lines,
    busy,
    failure_lines,
    headline,
    job_rows,
    notes,
)
from stargen.cli.words import AsJson, show_json, show_table
from stargen.errors import UserError
from stargen.quantities import count

if TYPE_CHECKING:
    from stargen.store import CampaignFolder


def status(
    campaign: Campaign = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing until it ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show where a campaign stands; also of one that does not run."""
    folder = find_folder(campaign)
    if watch and not as_json:
        _watch(folder)
    picture = picture_of(folder)
    if as_json:
        show_json(picture)
    else:
        show_picture(name_of(folder), picture)


def explain(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A job, one of its tasks as JOB/NUMBER, or a pool of allocations.",
        ),
    ],
    campaign: Campaign = None,
    as_json: AsJson = False,
) -> None:
    """Say why a job or a task waits, for what, and what would change it; how a pool stands."""
    from stargen.master.control import ControlClient, NoMaster

    folder = find_folder(campaign)
    try:
        with ControlClient.of(folder.root) as master:
            sentences: list[str] = master.explain(target)
    except NoMaster:
        sentences = _as_left(picture_of(folder), target)
    if as_json:
        show_json(sentences)
    else:
        for sentence in sentences:
            typer.echo(sentence)


def _as_left(picture: dict[str, Any], target: str) -> list[str]:
    """How the journal says that a job was left, where no master runs that could say more."""
    jobs = {job["name"]: job for job in picture["jobs"]}
    name, _, number = target.partition("/")
    if name not in jobs:
        raise UserError(f"there is no job {name!r}", hint=f"the jobs are: {', '.join(jobs)}")
    if number:
        hint = f"stargen explain {name} says how the job was left"
        raise UserError("no master is running, and only that knows about single tasks", hint=hint)
    job = jobs[name]
    if job["state"] not in ("open", "held"):
        return [f"Job {name} is {job['state']}: {count(job['out'])} candidates came out."]
    finished, waiting = count(job["tasks"]["finished"]), count(job["waiting"])
    lines = [f"Job {name}: {finished} tasks finished, {waiting} candidates wait."]
    if job["held"]:
        lines.append(
            f"It is held: {job['held']}. `stargen up FILE --release {name}` lets it go on."
        )
    lines.append(f"No master is running: the campaign is {picture['state']} ({picture['reason']}).")
    return lines


def failures(campaign: Campaign = None, as_json: AsJson = False) -> None:
    """Show failed attempts, grouped by what went wrong and where."""
    folder = find_folder(campaign)
    groups: list[dict[str, Any]] = picture_of(folder)["failures"]
    if as_json:
        show_json(groups)
    elif not groups:
        typer.echo("nothing has failed")
    else:
        for line in failure_lines(groups):
            typer.echo(line)


def name_of(folder: CampaignFolder) -> str:
    """What the campaign is called; its folder's name if its file is not there."""
    from stargen.scheduling.parser import draft

    if not folder.campaign_file.is_file():
        return folder.root.resolve().name
    return draft(folder.campaign_file.read_text("utf-8")).campaign.name


def show_picture(name: str, picture: dict[str, Any]) -> None:
    """The table of jobs, and what else a person should know."""
    typer.secho(headline(name, picture).text, bold=True)
    show_table(JOB_HEADINGS, job_rows(picture))
    for line in allocation_lines(picture):
        typer.echo(line)
    if line := busy(picture):
        typer.echo(line)
    for note in notes(picture):
        typer.secho(note, fg="yellow")
    if picture["failures"] and picture["state"] != INTERRUPTED:
        kinds = len(picture["failures"])
        typer.echo(f"{kinds} kind{'s' if kinds > 1 else ''} of failure: stargen failures")


def _watch(folder: CampaignFolder) -> None:
    """Show the running campaign until it ends or the person has seen enough."""
    from contextlib import suppress

    from stargen.cli.live import view_of
    from stargen.master.control import ControlClient

    with (
        ControlClient.of(folder.root) as master,
        view_of(name_of(folder)) as view,
        suppress(KeyboardInterrupt),
    ):
        for picture in master.watch():
            view.show(picture)
