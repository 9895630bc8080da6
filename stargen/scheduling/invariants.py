"""What must hold of the scheduler's state after every step; always checked in tests."""

from __future__ import annotations

from stargen.errors import InvariantBroken
from stargen.scheduling.jobs import JobState
from stargen.scheduling.state import CampaignState


def check_invariants(state: CampaignState) -> None:
    """InvariantBroken if the state contradicts itself."""
    try:
        _check_tasks(state)
        for job in state.jobs:
            _check_lanes(job)
    except AssertionError as error:
        raise InvariantBroken(f"the scheduler's state is wrong: {error}") from error


def _check_tasks(state: CampaignState) -> None:
    """Each open task is on the one node that its state names, or in the queue."""
    on_nodes: dict[tuple[int, int], str] = {}
    for node in state.nodes:
        node.distributor.check()
        for key in node.distributor.attempts:
            assert key not in on_nodes, f"task {key} is on two nodes"
            on_nodes[key] = node.name
    for task, names in state.gangs.items():
        assert on_nodes[task] == names[0], f"gang of task {task} has another leader"
        for name in names:
            assert state.nodes[name].gang == task, f"{name} is not bound to task {task}"
    for node in state.nodes:
        assert node.gang is None or node.name in state.gangs[node.gang]
    for job in state.jobs:
        queued = set(job.retry)
        for ordinal, task in job.tasks.items():
            where = f"{job.plan.name}/{ordinal}"
            if task.state == "assigned":
                assert on_nodes.pop((job.index, ordinal), None) == task.node, where
            else:
                assert task.state == "queued", where
                assert ordinal in queued, f"{where} is queued nowhere"
    assert not on_nodes, f"nodes hold ended tasks {on_nodes}"
    assert state.held == {job.index for job in state.jobs if job.held is not None}


def _check_lanes(job: JobState) -> None:
    """Every position that was cut off a lane belongs to an open task or is done."""
    open_: dict[int, int] = {}
    for task in job.tasks.values():
        if task.pinned is None:
            open_[task.lane] = open_.get(task.lane, 0) + task.hi - task.lo
    for index, lane in enumerate(job.lanes):
        name = f"{job.plan.name} lane {index}"
        assert lane.cursor <= lane.length, f"{name}: cut beyond its end"
        if job.closed in (None, "done"):
            held = lane.done.total + open_.get(index, 0)
            assert held == lane.cursor, f"{name}: {held} of {lane.cursor} accounted for"
