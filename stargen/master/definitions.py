"""What agents, sinks and viewers must know of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stargen.config import Pool
from stargen.master.carried import CarriedFiles
from stargen.messages import DefineJob, StepDef
from stargen.records import GraphRow, PlanAdopted
from stargen.scheduling.plan import JobPlan, Plan


class Definitions:
    """Job definitions for the agents of each pool.

    Parameters
    ----------
    campaign_folder : where checkpoints and artefacts lie
    input_folder : that of the campaign file, which input files are named relative to
    carried : what travels to pools that share no folder with the master
    """

    def __init__(
        self,
        plan: Plan,
        pools: Mapping[str, Pool],
        *,
        campaign_folder: Path,
        input_folder: Path,
        carried: CarriedFiles,
    ) -> None:
        self._plan = plan
        self._carried = carried
        self._pools = pools
        self._campaign_folder = str(campaign_folder.resolve())
        self._input_folder = str(input_folder.resolve())
        self._chemistry = asdict(plan.campaign.chemistry)
        self._known: dict[tuple[int, str], DefineJob] = {}

    def define(self, job: int, pool: str) -> DefineJob:
        """What an agent of `pool` must know of the job with this number."""
        apart = self._pools[pool].folder is not None
        if apart:  # then files belong to it, which are looked at anew
            return self._define(job, pool, self._carried.inputs(job))
        if (job, pool) not in self._known:
            self._known[job, pool] = self._define(job, pool, None)
        return self._known[job, pool]

    def _define(self, job: int, pool: str, files: list[Any] | None) -> DefineJob:
        plan = self._plan.jobs[job]
        return DefineJob(
            job=job,
            name=plan.name,
            shape=plan.shape.value,
            steps=[StepDef(step.use, dict(step.params)) for step in plan.spec.steps],
            seed=self._plan.campaign.seed,
            chemistry=self._chemistry,
            program=any(info.program for info in plan.infos),
            affinity=plan.affinity,
            checkpoint=_checkpoint(plan),
            campaign_folder=self._campaign_folder,
            input_folder=self._input_folder,
            commands=dict(self._pools[pool].commands),
            corrections=plan.spec.retries.correction,
            apart=files is not None,
            files=files or [],
        )


def _checkpoint(plan: JobPlan) -> str:
    """The most that any of the steps keeps."""
    kinds = {info.checkpoint for info in plan.infos}
    return next((kind for kind in ("files", "state") if kind in kinds), "none")


def adoption(plan: Plan, at: float, campaign_id: str) -> PlanAdopted:
    """The record that says what is run from here on."""
    graph = [
        GraphRow(
            "select" if job.is_select else job.shape.value,
            list(job.inputs),
            job.total,
            waits=job.waits,
        )
        for job in plan.jobs
    ]
    names = [job.name for job in plan.jobs]
    return PlanAdopted(at, plan.digest, plan.text, names, graph, campaign_id)


def job_inputs(plan: Plan) -> dict[str, Sequence[str]]:
    """Each job's name with the names of its inputs, in the order of their numbers."""
    return {job.name: [plan.jobs[i].name for i in job.inputs] for job in plan.jobs}
