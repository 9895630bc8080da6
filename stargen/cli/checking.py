"""`stargen check`: read a campaign and the site file, and say what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from stargen.cli.loading import CampaignFile, ConfigFile, load
from stargen.cli.words import AsJson, show_json, show_table
from stargen.quantities import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stargen.scheduling.estimate import Estimate
    from stargen.scheduling.plan import Plan


def check(file: CampaignFile, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Check a campaign file and the site file without starting anything.

    Everything that is wrong is shown at once, with file, line and what to write instead.
    """
    from stargen.scheduling.estimate import estimate

    plan, settings = load(file, config)
    estimates = estimate(plan)
    if as_json:
        show_json(
            {
                "campaign": plan.campaign.name,
                "digest": plan.digest,
                "pools": sorted(settings.pool),
                "jobs": [_as_row(each) for each in estimates],
            }
        )
        return
    typer.echo(f"{file}: campaign {plan.campaign.name}, seed {plan.campaign.seed}\n")
    show_table(
        ["job", "shape", "input", ">candidates", ">tasks", "a task asks for"],
        [_as_line(each, [plan.jobs[i].name for i in each.job.inputs]) for each in estimates],
    )
    for note in _doubts(plan, estimates):
        typer.secho(f"\n{note}", fg="yellow")
    pools = ", ".join(f"{name} ({pool.launcher})" for name, pool in settings.pool.items())
    typer.echo(f"\nnothing is wrong; it will run on {pools}")


def _doubts(plan: Plan, estimates: Sequence[Estimate]) -> Iterator[str]:
    """What is not wrong, but hardly meant."""
    stop = plan.campaign.stop
    if stop is None:
        return
    most = next(each.candidates for each in estimates if each.job.name == stop.job)
    if most is not None and most < stop.kept:
        yield (
            f"stop: {stop.job} is to keep {count(stop.kept)}, but no more than {count(most)} come"
            " to it, unless a job makes several of one"
        )


def _as_row(each: Estimate) -> dict[str, object]:
    job = each.job
    return {
        "name": job.name,
        "shape": "select" if job.is_select else job.shape.value,
        "inputs": list(job.spec.inputs),
        "use": [step.use for step in job.spec.steps],
        "candidates_at_most": each.candidates,
        "tasks_at_most": each.tasks,
    }


def _as_line(each: Estimate, inputs: list[str]) -> list[str]:
    from stargen.scheduling.explain import describe

    job = each.job
    return [
        job.name,
        "select" if job.is_select else job.shape.value,
        ", ".join(inputs) or "-",
        "?" if each.candidates is None else f"≤ {count(each.candidates)}",
        _tasks(each),
        " or ".join(describe(variant) for variant in job.request) or "-",
    ]


def _tasks(each: Estimate) -> str:
    if each.job.is_select:
        return "-"
    if each.tasks is not None:
        return f"≤ {count(each.tasks)}"
    return "?" if each.job.grain else f"~{each.job.spec.target_task_s:g} s each"
