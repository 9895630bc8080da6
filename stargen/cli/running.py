"""`stargen up` and `stargen down`: run a campaign, and end the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stargen.cli.loading import CampaignFile, ConfigFile, load
from stargen.cli.places import Campaign, find_folder, folder_of
from stargen.cli.words import show_table

if TYPE_CHECKING:
    from stargen.master.running import Outcome

Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        help="The campaign's folder; campaigns/NAME if left out.",
        show_default=False,
    ),
]
Again = Annotated[
    list[str] | None,
    typer.Option(metavar="JOB", help="Try its quarantined candidates again; `all` for every job."),
]
LetGo = Annotated[
    list[str] | None,
    typer.Option(metavar="JOB", help="Let this held job go on; `all` for every job."),
]

_END_S = 60.0


def up(
    file: CampaignFile,
    folder: Folder = None,
    config: ConfigFile = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Run on in a process of its own, and return.")
    ] = False,
    submit: Annotated[
        str | None,
        typer.Option(
            metavar="POOL", help="Run in an allocation of this pool's batch system, and return."
        ),
    ] = None,
    tui: Annotated[
        bool, typer.Option("--tui", help="As --detach, and look at it in the dashboard.")
    ] = False,
    takeover: Annotated[
        bool,
        typer.Option("--takeover", help="Take the campaign from a master on a host that is gone."),
    ] = False,
    retry: Again = None,
    release: LetGo = None,
) -> None:
    """Run a campaign, or go on with it where it was interrupted.

    Ctrl-C once lets running tasks end and leaves the campaign resumable; twice ends it at once, and
    it is resumable still.
    """
    from stargen.cli.live import view_of
    from stargen.cli.top import look_at
    from stargen.master.detached import detach as start_apart
    from stargen.master.detached import submit as in_queue
    from stargen.master.launch import run
    from stargen.store import CampaignFolder

    plan, settings = load(file, config)
    name = plan.campaign.name
    place = folder or folder_of(name)
    requests = [("retry", _job(job)) for job in retry or ()]
    requests += [("release", _job(job)) for job in release or ()]
    if detach or tui:
        master = start_apart(file, folder=place, config=config, takeover=takeover)
        if tui:
            look_at(CampaignFolder(place))
        typer.echo(f"{name} runs as process {master.pid}; it says what it does in {master.log}")
        typer.echo(f"stargen status --campaign {_short(name, place)}")
        return
    if submit is not None:
        queued = in_queue(
            file, folder=place, settings=settings, pool=submit, config=config, takeover=takeover
        )
        typer.echo(f"{name} runs as soon as job {queued.job} starts; it prints to {queued.output}")
        typer.echo(f"stargen status --campaign {_short(name, place)}")
        return
    with view_of(name) as view:
        outcome = run(
            file,
            settings=settings,
            folder=place,
            takeover=takeover,
            requests=requests,
            show=view.show,
        )
    summarise(name, file, place, outcome)
    raise typer.Exit(outcome.exit_code)


def down(
    campaign: Campaign = None,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for running tasks.")] = False,
) -> None:
    """End the run of a campaign and its agents; `stargen up` goes on with it later."""
    import time

    from stargen.errors import UserError
    from stargen.master.control import ControlClient, NoMaster

    folder = find_folder(campaign)
    with ControlClient.of(folder.root) as master:
        master.stop(now=now)
    typer.echo("asked to stop; running tasks are let end" if not now else "asked to stop at once")
    deadline = time.monotonic() + _END_S
    while time.monotonic() < deadline:
        try:
            ControlClient.of(folder.root).close()
        except NoMaster:
            typer.echo("stopped")
            return
        time.sleep(0.2)
    raise UserError(
        f"after {_END_S:g} s tasks are running still", hint="stargen down --now does not wait"
    )


def summarise(name: str, file: Path, place: Path, outcome: Outcome) -> None:
    """What came of a run: the funnel, what is missing, and where to look further."""
    from stargen.cli.tables import FUNNEL_HEADINGS, funnel_rows, headline, notes

    picture = outcome.picture | {"state": outcome.state, "reason": outcome.reason}
    typer.echo()
    show_table(FUNNEL_HEADINGS, funnel_rows(picture))
    typer.echo()
    for note in notes(picture):
        typer.secho(note, fg="yellow")
    for text in [*outcome.missing, *outcome.left]:
        typer.secho(text, fg="red")
    typer.secho(headline(name, picture).text, bold=True)
    for command in _next_commands(name, file, place, outcome):
        typer.echo(f"  {command}")


def _next_commands(name: str, file: Path, place: Path, outcome: Outcome) -> list[str]:
    again = f"stargen up {file}" + ("" if place == folder_of(name) else f" --folder {place}")
    which = f"--campaign {_short(name, place)}"
    commands: list[str] = []
    if outcome.state == "stopped":
        commands.append(again)
    if outcome.picture["failures"]:
        commands.append(f"stargen failures {which}")
    if any(job["quarantined"] for job in outcome.picture["jobs"]):
        commands.append(f"{again} --retry all")
    if outcome.state == "held":
        commands.append(f"{again} --release all")
    if outcome.picture.get("sinks"):
        commands.append(f"stargen db stats {which}")
    return commands


def _short(name: str, place: Path) -> str:
    """How commands in this working directory may call a campaign."""
    return name if place == folder_of(name) else str(place)


def _job(name: str) -> str:
    return "" if name == "all" else name
