"""`stargen profile`: where the time of a campaign's tasks went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from stargen.cli.places import Campaign, find_folder
from stargen.cli.words import AsJson, show_json, show_table
from stargen.quantities import count

if TYPE_CHECKING:
    from stargen.store import CampaignFolder

JOB_HEADINGS = ("job", ">tasks", ">worked on", ">queued", ">on the way", ">lost")
STEP_HEADINGS = (
    "step", ">each", ">share", ">compute", ">io", ">staging", ">waiting", ">read", ">written"
)  # fmt: skip
_MUCH = 0.5
_LONG_S = 10.0
_ADVICE = (
    ("io_s", 'scratch = "ram" or "local" in its resources keeps its files near'),
    ("waiting_s", "look whether others use its cores, or its programs wait for each other"),
)
_K = 1024


def profile(campaign: Campaign = None, as_json: AsJson = False) -> None:
    """Show where the time of tasks went: computing, reading and writing, staging, waiting."""
    jobs = profile_of(find_folder(campaign))
    if as_json:
        show_json(jobs)
        return
    show_table(JOB_HEADINGS, [_job_row(job) for job in jobs])
    for job in jobs:
        if job["steps"]:
            typer.secho(f"\n{job['job']}, the steps of a task", bold=True)
            show_table(STEP_HEADINGS, [_step_row(step, job["steps"]) for step in job["steps"]])
            for line in remarks(job):
                typer.secho(line, fg="yellow")


def profile_of(folder: CampaignFolder) -> list[dict[str, Any]]:
    """What the journal tells of each job; steps have the names of their calculators."""
    from stargen.journal import read_records
    from stargen.profile import Profile
    from stargen.records import decode
    from stargen.scheduling.parser import draft

    found = Profile(decode(body) for _, body in read_records(folder.journal))
    uses = {job.name: [step.use for step in job.steps] for job in draft(found.text).campaign.jobs}
    jobs = [job.plain() for job in found.jobs]
    for job in jobs:
        names = uses.get(job["job"], [])
        for step in job["steps"]:
            number = step["step"]
            step["use"] = names[number] if number < len(names) else f"step {number + 1}"
    return jobs


def remarks(job: Mapping[str, Any]) -> Iterator[str]:
    """What a person may want to change."""
    longest = max(job["steps"], key=lambda step: step["wall_s"])
    kinds = () if longest["wall_s"] < _LONG_S * longest["tasks"] else _ADVICE
    for kind, advice in kinds:
        share = longest[kind] / longest["wall_s"]
        if share >= _MUCH:
            what = "reading and writing" if kind == "io_s" else "waiting"
            yield f"{longest['use']} takes most, {share:.0%} of it {what}: {advice}"
    if job["lost_s"] >= _MUCH * job["busy_s"]:
        yield f"attempts without a result took {_short(job['lost_s'])}: see `stargen failures`"


def _job_row(job: Mapping[str, Any]) -> list[str]:
    times = (job[name] for name in ("busy_s", "queued_s", "transit_s", "lost_s"))
    return [job["job"], count(job["tasks"]), *(_short(seconds) for seconds in times)]


def _step_row(step: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> list[str]:
    wall_s = step["wall_s"] or 1e-9
    kinds = ("compute_s", "io_s", "staging_s", "waiting_s")
    return [
        step["use"],
        _short(step["wall_s"] / step["tasks"]),
        f"{step['wall_s'] / sum(each['wall_s'] for each in steps):.0%}",
        *(f"{step[kind] / wall_s:.0%}" for kind in kinds),
        *(_bytes(step[name] / step["tasks"]) for name in ("read_mib", "written_mib")),
    ]


def _short(seconds: float) -> str:
    """In one unit, as a column of a table wants it."""
    if 0 < seconds < 1:
        return f"{1000 * seconds:.2g} ms" if seconds < 0.1 else f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _bytes(mib: float) -> str:
    for unit, size in (("GiB", _K), ("MiB", 1.0), ("KiB", 1 / _K)):
        if mib >= size:
            return f"{mib / size:.1f} {unit}"
    return "-"
