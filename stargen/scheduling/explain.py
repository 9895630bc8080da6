"""Explain: why a job or a task waits, and what would change it.

The answers come from the predicates that place tasks (placement, fragmenter, the edges' room), so
they cannot disagree with what the scheduler does.
"""

from __future__ import annotations

from stargen.errors import CampaignError
from stargen.model import Request, Resources, Shape
from stargen.scheduling import aggregator, fragmenter, gangs, placement
from stargen.scheduling.jobs import JobState, Task
from stargen.scheduling.scheduler import Scheduler


def explain(scheduler: Scheduler, target: str, now: float) -> list[str]:
    """Sentences about a job (``relax``), one of its tasks (``relax/12``), or a batch pool.

    Raises
    ------
    CampaignError : if there is no such job or task
    """
    name, _, number = target.partition("/")
    jobs = scheduler.state.jobs
    job = next((each for each in jobs if each.plan.name == name), None)
    if job is None and target in scheduler.allocating.pools:
        return scheduler.allocating.explain_pool(target, now)
    if job is None:
        known = ", ".join(each.plan.name for each in jobs)
        raise CampaignError(f"there is no job {name!r}", hint=f"the jobs are: {known}")
    if not number:
        return _about_job(scheduler, job, now)
    if not number.isdecimal() or int(number) >= job.next_ordinal:
        known = f"so far there are 0..{job.next_ordinal - 1}" if job.next_ordinal else "none so far"
        raise CampaignError(f"job {name} has no task {number!r}", hint=known)
    task = job.tasks.get(int(number))
    if task is None:
        return [f"Task {target} has ended."]
    return _about_task(scheduler, job, task, now)


def _about_job(scheduler: Scheduler, job: JobState, now: float) -> list[str]:
    if job.closed is not None:
        return [f"Job {job.plan.name} is {job.closed}: {job.out.length} candidates came out."]
    lines = [f"Job {job.plan.name}: {_work(job)}."]
    if job.held is not None:
        lines.append(f"It is held: {job.held}. `stargen release {job.plan.name}` lets it go on.")
        return lines
    state = scheduler.state
    upstream = state.inputs_of(job)
    if job.plan.shape is Shape.GATHER and not aggregator.all_arrived(job, upstream):
        waits = ", ".join(up.plan.name for up in upstream if up.closed is None)
        lines.append(f"It needs all its input and waits for {waits} to end.")
        return lines
    waiting = sum(fragmenter.waiting(job, n) for n in range(len(job.requests)))
    if job.plan.is_select or not (waiting or job.retry):
        names = ", ".join(up.plan.name for up in upstream if up.closed is None)
        lines.append(f"It waits for candidates from {names}." if names else "Nothing waits.")
        return lines
    if scheduler.allowance(job) <= 0:
        lines.append(_full_edges(scheduler, job))
        return lines
    for request in job.requests:
        lines.extend(_about_nodes(scheduler, job, request, now))
    return lines


def _work(job: JobState) -> str:
    running = sum(task.state == "assigned" for task in job.tasks.values())
    queued = len(job.tasks) - running
    parts = [f"{job.finished} tasks finished", f"{running} with nodes", f"{queued} to be retried"]
    if not job.cannot_end:
        waiting = sum(fragmenter.waiting(job, n) for n in range(len(job.requests)))
        parts.append(f"{waiting} candidates not yet in a task")
    return ", ".join(parts)


def _full_edges(scheduler: Scheduler, job: JobState) -> str:
    full = [
        f"{d.plan.name} has {d.backlog()} waiting (its buffer is {d.plan.spec.buffer})"
        for d in scheduler.state.outputs_of(job)
        if not d.plan.is_select
    ]
    behind = "; ".join(full) or "what lies behind its select is full"
    return f"It makes room for what lies downstream: {behind}."


def _about_task(scheduler: Scheduler, job: JobState, task: Task, now: float) -> list[str]:
    name = f"{job.plan.name}/{task.ordinal}"
    size = task.hi - task.lo
    if task.state == "assigned":
        age_s = now - task.assigned_at
        expected = placement.expected_s(job)
        usual = f", usually within {expected:.1f} s" if expected else ""
        return [f"Task {name} ({size} candidates) is on {task.node} since {age_s:.1f} s{usual}."]
    lines = [f"Task {name} ({size} candidates) waits for another try."]
    if task.tries:
        tries = ", ".join(f"{kind} {n}" for kind, n in sorted(task.tries.items()))
        lines.append(f"It failed before: {tries}.")
    if job.held is not None:
        lines.append(f"Its job is held: {job.held}.")
        return lines
    request = job.request_for(task.lane)
    variants = tuple(scheduler.state.request_of(job, task, v) for v in range(len(request)))
    return lines + _about_nodes(scheduler, job, variants, now)


def _about_nodes(scheduler: Scheduler, job: JobState, request: Request, now: float) -> list[str]:
    wanted = " or ".join(describe(resources) for resources in request)
    lines = [f"It needs {wanted}."]
    if not len(scheduler.state.nodes):
        lines.append("No node has joined yet.")
    lines += scheduler.allocating.explain(job, request, now)
    among = len(scheduler.state.nodes)
    for node in scheduler.state.nodes:
        why = placement.refusal(node, job, request, now)
        if why is None and gangs.is_gang(request):
            why = "it is empty" if node.distributor.idle else "it must become empty first"
        elif why is None and not placement.has_room(job, request, node, among):
            why = "full"
        lines.append(f"{node.name}: {why or 'has room; it will be given some at the next pass'}.")
    return lines


def describe(resources: Resources) -> str:
    """Resources in words: ``4 cores, 1 GPU, 8 GiB``."""
    parts = [f"{resources.cores} core{'s' if resources.cores != 1 else ''}"]
    if resources.nodes > 1:
        parts[0] = f"{resources.nodes} nodes of one allocation at once, on each {parts[0]}"
    if resources.gpus:
        parts.append(f"{resources.gpus:g} GPU")
    if resources.memory_gib:
        parts.append(f"{resources.memory_gib:g} GiB")
    if resources.io:
        parts.append(f"{resources.io} IO slots")
    parts.extend(f"{amount:g} {name}" for name, amount in resources.custom)
    return ", ".join(parts)
