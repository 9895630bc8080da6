"""The graph of jobs: its order, its cycles, what lies upstream of what."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence

Inputs = Mapping[str, Sequence[str]]
"""{job: its inputs}, jobs in the order of the file; every input is a job."""


def breadth_first(inputs: Inputs, first: Sequence[str] = ()) -> list[str]:
    """The jobs in breadth-first order from the sources, each after all of its inputs.

    Parameters
    ----------
    first : jobs that keep their places at the front, because journals know jobs by number

    Raises
    ------
    ValueError : if there is a cycle, or `first` contradicts the inputs
    """
    order = [job for job in first if job in inputs]
    for number, job in enumerate(order):
        if not set(inputs[job]) <= set(order[:number]):
            raise ValueError(f"{job} comes before one of its inputs")
    placed = set(order)
    outputs = outputs_of(inputs)
    waiting = {job: sum(i not in placed for i in set(inputs[job])) for job in inputs}
    ready = deque(job for job in inputs if not waiting[job] and job not in placed)
    while ready:
        job = ready.popleft()
        order.append(job)
        for output in outputs[job]:
            waiting[output] -= 1
            if not waiting[output]:
                ready.append(output)
    if len(order) < len(inputs):
        raise ValueError("the jobs form a cycle")
    return order


def cycle(inputs: Inputs) -> list[str] | None:
    """One cycle, from a job along the flow of candidates back to it; None if there is none."""
    left = dict(inputs)
    while left:
        free = [job for job, needs in left.items() if not any(need in left for need in needs)]
        if not free:
            break
        for job in free:
            del left[job]
    if not left:
        return None
    trail = [next(iter(left))]
    while True:
        job = next(need for need in left[trail[-1]] if need in left)
        if job in trail:
            return [job, *reversed(trail[trail.index(job) :])]
        trail.append(job)


def outputs_of(inputs: Inputs) -> dict[str, list[str]]:
    """{job: the jobs that take its candidates}, in the order of the file."""
    outputs: dict[str, list[str]] = {job: [] for job in inputs}
    for job, needs in inputs.items():
        for need in dict.fromkeys(needs):
            outputs[need].append(job)
    return outputs


def upstream(
    inputs: Inputs, job: str, passable: Callable[[str], bool] = lambda _: True
) -> Collection[str]:
    """All jobs whose candidates reach `job` through passable jobs; `job` itself included."""
    found = {job: None}
    queue = [job]
    while queue:
        here = queue.pop()
        for need in inputs[here] if passable(here) else ():
            if need not in found:
                found[need] = None
                queue.append(need)
    return found
