"""What may be changed in a campaign file between two runs of the campaign.

A journal knows jobs by number and results by job, so what has results keeps its meaning: jobs stay,
and a job that has begun keeps its calculators, parameters, selection and input. How eagerly, where
and with what it runs may change at any time, and new jobs may be added.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from stargen.errors import UserError
from stargen.model import Campaign, JobSpec
from stargen.scheduling.parser import Draft, draft
from stargen.toml import KeyPath
from stargen.typed import near, plain, raise_problems

_MEANING = {
    "seed": "chance in all results so far comes from it",
    "chemistry": "sources have obeyed it so far",
}


def compatible(old_text: str, new: Draft, begun: Collection[str]) -> None:
    """Refuse a changed campaign file whose results would not fit to those that are there.

    Parameters
    ----------
    old_text : the campaign file as it was run so far
    new : the file as it is now
    begun : names of the jobs that have results or have been given candidates

    Raises
    ------
    CampaignError, Problems : every change that cannot be taken over, and what to do instead
    """
    old = draft(old_text).campaign
    raise_problems([*new.problems, *_problems(old, new, begun)])


def _problems(old: Campaign, new: Draft, begun: Collection[str]) -> Iterator[UserError]:
    if begun:
        for change in _campaign_changes(old, new.campaign):
            yield new.document.problem(("campaign", change.key), change.problem, change.hint)
    pairs = zip(new.campaign.jobs, new.paths, strict=True)
    now = {job.name: (job, path) for job, path in pairs}
    for job in old.jobs:
        if job.name in now:
            spec, path = now[job.name]
            for change in _job_changes(job, spec, job.name in begun):
                key = _written_key(new, path, change.key)
                yield new.document.problem((*path, key), change.problem, change.hint)
        elif job.name not in new.broken:
            yield _removed(old, new, job)


class _Change(NamedTuple):
    key: str
    problem: str
    hint: str


def _campaign_changes(old: Campaign, new: Campaign) -> Iterator[_Change]:
    if old.name != new.name:
        hint = f'write name = "{old.name}", or start another campaign folder'
        yield _Change("name", f"the campaign in this folder is called {old.name}", hint)
    for key, reason in _MEANING.items():
        before, after = getattr(old, key), getattr(new, key)
        if before != after:
            problem = f"was {_written(before)} when the campaign began; {reason}"
            yield _Change(key, problem, "take the change back, or start another campaign folder")


def _job_changes(old: JobSpec, new: JobSpec, begun: bool) -> Iterator[_Change]:
    again = f"give the changed job another name and let it stand beside {old.name}"
    if old.inputs != new.inputs:
        problem = f"the input of {old.name} was {' and '.join(old.inputs) or 'none'}"
        yield _Change("input", problem, again)
    if not begun:
        return
    if old.select != new.select:
        yield _Change("select", f"{old.name} has chosen candidates by another select", again)
    elif [step.use for step in old.steps] != [step.use for step in new.steps]:
        uses = ", ".join(step.use for step in old.steps)
        yield _Change("use", f"{old.name} has results of {uses}", again)
    for before, after in zip(old.steps, new.steps, strict=False):
        if before.use == after.use and before.params != after.params:
            changed = ", ".join(_changed(dict(before.params), dict(after.params)))
            problem = f"{old.name} has results with other parameters of {before.use}: {changed}"
            yield _Change("params", problem, again)


def _removed(old: Campaign, new: Draft, job: JobSpec) -> UserError:
    added = {j.name for j in new.campaign.jobs} - {j.name for j in old.jobs}
    renamed = near(job.name, sorted(added))
    hint = "a job may be added but not removed or renamed; cancel it if it shall not run"
    problem = f"the job {job.name} is missing"
    return new.document.problem(("job",), problem, f"{renamed} {hint}" if renamed else hint)


def _changed(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield f"{key} was {_written(old[key])}" if key in old else f"{key} was not given"


def _written(value: object) -> str:
    return json.dumps(plain(value), ensure_ascii=False)


def _written_key(new: Draft, path: KeyPath, key: str) -> str:
    """Where steps are tables of their own, what belongs to a calculator stands in them."""
    row = new.document.values["job"][path[1]]
    return "step" if key in ("use", "params") and "step" in row else key
