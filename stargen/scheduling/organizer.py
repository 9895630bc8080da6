"""Job organizer: a campaign and what its calculators declare become a `Plan`.

Jobs are put in breadth-first order, upstream before downstream; what every step needs is decoded
and checked before anything starts. All problems are collected and raised together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from stargen.calculators.contract import CalculatorInfo
from stargen.errors import UserError
from stargen.model import Campaign, JobSpec, Request, Resources, Shape
from stargen.scheduling.demands import combined, impossible, request_by_envelope
from stargen.scheduling.graph import Inputs, breadth_first, cycle, outputs_of, upstream
from stargen.scheduling.parser import Draft
from stargen.scheduling.plan import JobPlan, Plan
from stargen.scheduling.selection import group_of, predicate_of, rank_of
from stargen.scheduling.stopping import Flow, objections
from stargen.toml import KeyPath
from stargen.typed import Reader, plain, raise_problems, unknown_hint

T = TypeVar("T")

Find = Callable[[str], CalculatorInfo]
"""The info of a calculator by name, or PluginError."""

ANY_PROPERTY = "*"
"""In a calculator's `properties`: which ones it adds, only the run will show."""


def organize(
    draft: Draft,
    find: Find,
    *,
    folder: Path | None = None,
    offers: Sequence[tuple[str, Resources]] | None = None,
    first: Sequence[str] = (),
) -> Plan:
    """The plan of a campaign.

    Parameters
    ----------
    draft : the campaign as it was read, with the problems found on the way
    find : gives the infos of calculators
    folder : of the campaign file; if given, the calculators check the files they are to read
    offers : the nodes that there will be; if given, requests that none can meet are refused
    first : names of the jobs that an earlier run numbered, in its order

    Raises
    ------
    CampaignError, Problems : everything that is wrong with the campaign, at once
    """
    organizer = _Organizer(draft, find)
    for job in organizer.jobs.values():
        organizer.resolve(job, folder)
    organizer.note_objections()
    organizer.check_graph()
    organizer.check_stop()
    for job in organizer.jobs.values():
        organizer.finish(job)
        if offers is not None and job.request:
            organizer.check_request(job, offers)
    raise_problems([*draft.problems, *organizer.reader.problems])
    return organizer.plan(first)


@dataclass(slots=True)
class _Job:
    """One job while it is being put together."""

    spec: JobSpec
    path: KeyPath
    resolved: bool = False
    infos: list[CalculatorInfo] = field(default_factory=list[CalculatorInfo])
    params: list[Any] = field(default_factory=list[Any])
    made: dict[str, Any] = field(default_factory=dict[str, Any])
    """Fields of the JobPlan to be."""

    @property
    def shape(self) -> Shape:
        return self.infos[0].shape if self.infos else Shape.GATHER

    @property
    def request(self) -> Request:
        return self.made.get("request", ())


class _Organizer:
    """Puts the jobs of one campaign together."""

    def __init__(self, draft: Draft, find: Find) -> None:
        self.reader = Reader(draft.document)
        self._draft = draft
        self._find = find
        pairs = zip(draft.campaign.jobs, draft.paths, strict=True)
        self.jobs = {spec.name: _Job(spec, path) for spec, path in pairs}
        self._objections: dict[str, list[tuple[KeyPath, str]]] = {}
        self._inputs: Inputs = {
            name: [i for i in job.spec.inputs if i in self.jobs] for name, job in self.jobs.items()
        }

    # --- one job: its calculators, their parameters, its shape ------------------------------------

    def resolve(self, job: _Job, folder: Path | None) -> None:
        """Find and check the calculators of a job; `resolved` says that all are there."""
        steps = [self._resolve_step(job, k, folder) for k in range(len(job.spec.steps))]
        job.resolved = all(steps) and bool(steps or job.spec.select)
        if job.resolved and job.infos:
            self._check_shape(job)
            job.made["total"] = self._total(job)

    def _resolve_step(self, job: _Job, k: int, folder: Path | None) -> bool:
        step, path, params_path = job.spec.steps[k], *self._step_paths(job, k)
        if not step.use:
            return False
        try:
            info = self._find(step.use)
        except UserError as error:
            self.reader.note((*path, "use"), error.problem, error.hint)
            return False
        ignore = ("use",)
        if path == params_path and isinstance(step.params.get("params"), dict):
            problem = "a step has its parameters beside `use`, without params = { ... }"
            self.reader.note((*path, "params"), problem)
            ignore = ("use", "params")
        params = self.reader.table(info.params, step.params, params_path, ignore=ignore)
        if params is None:
            return False
        job.infos.append(info)
        job.params.append(params)
        if info.check is not None and folder is not None:
            for problem in self._ask(path, info, info.check, params, folder) or ():
                self._objections.setdefault(problem, []).append((params_path, info.name))
        if info.check_chemistry is not None and folder is not None:
            chemistry = self._draft.campaign.chemistry
            for problem in self._ask(path, info, info.check_chemistry, params, chemistry) or ():
                self._objections.setdefault(problem, []).append((params_path, info.name))
        return True

    def note_objections(self) -> None:
        """What calculators object to: what several steps share is told once, for all of them."""
        for problem, steps in self._objections.items():
            (path, name), *others = steps
            lines = (f"{other} (line {self.reader.document.line(at)})" for at, other in others)
            hint = f"the same holds for {', '.join(lines)}" if others else None
            self.reader.note(path, f"{name}: {problem}", hint)

    def _step_paths(self, job: _Job, k: int) -> tuple[KeyPath, KeyPath]:
        """Where the step stands, and where its parameters do."""
        if "step" in self._draft.document.values["job"][job.path[1]]:
            path = (*job.path, "step", k)
            return path, path
        return job.path, (*job.path, "params")

    def _check_shape(self, job: _Job) -> None:
        names = [info.name for info in job.infos]
        for k, info in enumerate(job.infos):
            path = (*self._step_paths(job, k)[0], "use")
            if k and info.shape is Shape.SOURCE:
                self.reader.note(path, f"{info.name} is a source, it can only be the first step")
            elif len(names) > 1 and info.shape in (Shape.KEYED, Shape.GATHER):
                problem = f"{info.name} ({info.shape}) cannot share a job with other steps"
                self.reader.note(path, problem, "give it a job of its own")
            elif info.program != job.infos[0].program:
                problem = f"{info.name} and {names[0]} cannot share a job"
                self.reader.note(path, problem, "external programs and calculators run apart")
        if job.shape is Shape.SOURCE and job.spec.inputs:
            self.reader.note((*job.path, "input"), f"{names[0]} is a source, it takes no input")

    # --- the graph --------------------------------------------------------------------------------

    def check_graph(self) -> None:
        """Inputs are there, each once, and there is no way round in a circle."""
        known = [*self.jobs, *self._draft.broken]
        for job in self.jobs.values():
            path = (*job.path, "input")
            if job.resolved and job.shape is not Shape.SOURCE and not job.spec.inputs:
                what = f"{job.infos[0].name} works on" if job.infos else "a select chooses from"
                problem = f"{what} candidates, but the job has no input"
                self.reader.note(job.path, problem, "add input = ...")
            for name in dict.fromkeys(job.spec.inputs):
                if name not in known:
                    self.reader.note(path, f"there is no job {name}", unknown_hint(name, known))
                if job.spec.inputs.count(name) > 1:
                    self.reader.note(path, f"{name} is named twice")
        trail = cycle(self._inputs)
        if trail is not None:
            path = (*self.jobs[trail[0]].path, "input")
            self.reader.note(path, f"the jobs form a cycle: {' -> '.join(trail)}")

    def _properties(self, job: _Job) -> Collection[str] | None:
        """Names that candidates may bear at this job's input; None if only the run will show."""
        names: dict[str, None] = {}
        for name in upstream(self._inputs, job.spec.name):
            above = self.jobs[name]
            names.update(dict.fromkeys(p for info in above.infos for p in info.properties))
            if not above.resolved or len(self._inputs[name]) < len(above.spec.inputs):
                return None  # a broken job may well add what is asked for
        return None if ANY_PROPERTY in names else names

    def check_stop(self) -> None:
        """The stop condition names a job, and can work."""
        stop, path = self._draft.campaign.stop, ("campaign", "stop")
        if stop is None or stop.job in self._draft.broken:
            return
        if stop.job not in self.jobs:
            hint = unknown_hint(stop.job, self.jobs)
            self.reader.note((*path, "job"), f"there is no job {stop.job}", hint)
            return
        flows = {name: self._flow(job) for name, job in self.jobs.items()}
        for key, problem, hint in objections(stop, self._inputs, flows):
            self.reader.note((*path, key) if key else path, problem, hint)

    def _flow(self, job: _Job) -> Flow:
        select = job.spec.select
        if select is not None:
            most = None if select.rolling else select.limit or select.sample
            return Flow(waits=not select.streams, most=most)
        if not job.resolved:
            return Flow()
        if job.shape is Shape.SOURCE:
            return Flow(endless=job.made["total"] is None, most=job.made["total"])
        return Flow(waits=job.shape is Shape.GATHER)

    # --- what the plan says of each job -----------------------------------------------------------

    def finish(self, job: _Job) -> None:
        """Fill in what the scheduler needs to know of a resolved job."""
        if job.spec.select is not None:
            self._finish_select(job)
        if not job.resolved or not job.infos:
            return
        info, params, path = job.infos[0], job.params[0], job.path
        steps = list(zip(job.infos, job.params, strict=True))
        asked = [self._ask(path, i, i.resources, p, None) for i, p in steps]
        if job.spec.resources is not None:
            job.made["request"] = job.spec.resources
        elif all(asked):
            job.made["request"] = combined([request for request in asked if request])
            job.made["request_of"] = request_by_envelope(job.infos, job.params)
        keys = [i.affinity and self._ask(path, i, i.affinity, p) for i, p in steps]
        job.made["affinity"] = "+".join(dict.fromkeys(key for key in keys if key)) or None
        job.made["grain"] = self._grain(job)
        if info.key is not None:
            job.made["key_of"] = self._ask(path, info, info.key, params)
        if info.steer is not None:
            job.made["steer"] = partial(info.steer, params)

    def _finish_select(self, job: _Job) -> None:
        select, known = job.spec.select, self._properties(job)
        assert select is not None
        path = (*job.path, "select")
        try:
            job.made["predicate"] = predicate_of(select, known)
        except UserError as error:
            self.reader.note((*path, "where"), error.problem, error.hint)
        try:
            job.made["rank"] = rank_of(select, self._draft.campaign.seed, known)
        except UserError as error:
            self.reader.note((*path, "order_by"), error.problem, error.hint)
        try:
            job.made["group"] = group_of(select, known)
        except UserError as error:
            self.reader.note((*path, "per"), error.problem, error.hint)

    def _grain(self, job: _Job) -> int | None:
        """Candidates per task; None lets it grow."""
        if job.infos[0].program:
            if job.spec.grain not in (None, 1):
                problem = f"{job.infos[0].name} is a program, it takes one candidate at a time"
                self.reader.note((*job.path, "grain"), problem, "leave it out")
            return 1
        fixed = [info.grain for info in job.infos if info.grain != "auto"]
        return job.spec.grain or (min(fixed) if fixed else None)

    def _total(self, job: _Job) -> int | None:
        info = job.infos[0]
        if info.shape is not Shape.SOURCE or info.total is None:
            return None
        total = self._ask(job.path, info, info.total, job.params[0])
        if total is not None and total < 0:
            path = self._step_paths(job, 0)[1]
            self.reader.note(path, f"{info.name} would make {total} candidates")
        return total

    def check_request(self, job: _Job, offers: Sequence[tuple[str, Resources]]) -> None:
        """Some node of the job's pool can give what a task needs."""
        pools = sorted({name for name, _ in offers})
        if job.spec.pool is not None and job.spec.pool not in pools:
            problem = f"there is no pool {job.spec.pool}"
            self.reader.note((*job.path, "pool"), problem, unknown_hint(job.spec.pool, pools))
            return
        problem = impossible(job.request, job.spec.pool, offers)
        if problem is not None:
            own = "resources" if job.spec.resources is not None else "use"
            hint = "ask for less, or state larger limits for the pool in stargen.toml"
            self.reader.note((*job.path, own), problem, hint)

    def _ask(
        self, path: KeyPath, info: CalculatorInfo, question: Callable[..., T], *arguments: Any
    ) -> T | None:
        """What a calculator's info answers; whatever a plugin raises is a problem of its job."""
        try:
            return question(*arguments)
        except Exception as error:
            problem = f"{info.name} failed to answer: {type(error).__name__}: {error}"
            self.reader.note(path, problem)
            return None

    # --- all together -----------------------------------------------------------------------------

    def plan(self, first: Sequence[str]) -> Plan:
        order = breadth_first(self._inputs, first)
        index = {name: i for i, name in enumerate(order)}
        outputs = outputs_of(self._inputs)
        plans = tuple(
            JobPlan(
                index=index[name],
                spec=self.jobs[name].spec,
                shape=self.jobs[name].shape,
                inputs=tuple(index[i] for i in self.jobs[name].spec.inputs),
                outputs=tuple(sorted(index[o] for o in outputs[name])),
                infos=tuple(self.jobs[name].infos),
                params=tuple(self.jobs[name].params),
                **self.jobs[name].made,
            )
            for name in order
        )
        campaign = self._draft.campaign
        return Plan(campaign, plans, _digest(campaign, plans), self._draft.document.text)


def _digest(campaign: Campaign, jobs: Sequence[JobPlan]) -> str:
    """A name for what is run: the same for files that differ in comments, order or layout."""
    form = plain(campaign) | {"file": None}
    form["jobs"] = [
        plain(job.spec)
        | {"line": None}
        | {
            "steps": [
                [info.name, info.result_version, plain(params)]
                for info, params in zip(job.infos, job.params, strict=True)
            ]
        }
        for job in jobs
    ]
    canonical = json.dumps(form, sort_keys=True)
    return blake2b(canonical.encode(), digest_size=16).hexdigest()
