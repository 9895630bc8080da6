import pytest

from stargen.model import Failure, Retries, Shape
from stargen.scheduling.jobs import Task
from stargen.scheduling.policy import HELD_AT_LEAST, HELD_ATTEMPTS, JobHealth, decide

RETRIES = Retries(calculation=2, memory=1, infrastructure=3)


def _task(size: int = 1, **tries: int) -> Task:
    task = Task(0, 0, 0, size)
    for failure, n in tries.items():
        for _ in range(n):
            task.count_try(failure)
    return task


@pytest.mark.parametrize(
    ("size", "tries", "failure", "verdict"),
    [
        (1, {}, Failure.CALCULATION, "retry"),
        (1, {"calculation": 2}, Failure.CALCULATION, "quarantine"),
        (8, {}, Failure.CALCULATION, "split"),
        (1, {}, Failure.MEMORY, "retry"),
        (1, {"memory": 1}, Failure.MEMORY, "quarantine"),
        (8, {}, Failure.INFRASTRUCTURE, "retry"),
        (8, {"infrastructure": 3}, Failure.INFRASTRUCTURE, "split"),
        (1, {"infrastructure": 3}, Failure.INFRASTRUCTURE, "quarantine"),
        (1, {"calculation": 99}, Failure.WALLTIME, "retry"),
        (8, {}, Failure.USER, "stop"),
    ],
)
def test_verdicts(size, tries, failure, verdict):
    assert decide(_task(size, **tries), failure, RETRIES, Shape.MAP).verdict == verdict


def test_out_of_memory_is_tried_again_with_more():
    assert decide(_task(), Failure.MEMORY, RETRIES, Shape.MAP).memory_factor > 1


def test_a_batch_is_halved():
    assert decide(_task(9), Failure.CALCULATION, RETRIES, Shape.MAP).middle == 4


def test_a_gather_is_neither_split_nor_quarantined_but_stops():
    task = _task(9, calculation=2)
    assert decide(task, Failure.CALCULATION, RETRIES, Shape.GATHER).verdict == "stop"


def test_a_job_is_failing_when_most_of_its_last_ends_are_failures():
    health = JobHealth()
    for _ in range(HELD_AT_LEAST - 1):
        health.ended(True)
    assert not health.failing
    health.ended(True)
    assert health.failing
    for _ in range(HELD_AT_LEAST + 1):
        health.ended(False)
    assert not health.failing


def test_a_job_is_failing_when_attempt_after_attempt_fails():
    health = JobHealth()
    for _ in range(HELD_ATTEMPTS):
        health.attempted(Failure.WALLTIME, "retry")
        health.attempted(Failure.MEMORY, "retry")
        health.attempted(Failure.CALCULATION, "split")
    assert not health.failing
    for _ in range(HELD_ATTEMPTS - 1):
        health.attempted(Failure.INFRASTRUCTURE, "retry")
    assert not health.failing
    health.ended(False)
    health.attempted(Failure.INFRASTRUCTURE, "retry")
    assert not health.failing
    for _ in range(HELD_ATTEMPTS):
        health.attempted(Failure.INFRASTRUCTURE, "retry")
    assert health.failing
    health.clear()
    assert not health.failing
