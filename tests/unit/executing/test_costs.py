"""Where the time of a real attempt went."""

import time

from stargen.calculators.steps import Batch
from stargen.executing.attempt import Attempt
from stargen.executing.costs import Costs, OwnProcess, Usage
from stargen.messages import AttemptRef
from stargen.model import StepCost


def script(text):
    return ("mischief.program", {"script": text})


async def costs_of(master, *steps, **define):
    master.define(*steps, **define)
    (ref,) = master.run(1)
    await master.outcomes([ref], 30)
    return [StepCost(*row) for row in master.done[ref].costs]


async def test_steps_of_programs(master):
    busy = "for _ in range(40): sum(range(10**6))"
    idle = "import time; open('f', 'wb').write(bytes(3 << 20)); time.sleep(0.4)"
    first, second = await costs_of(master, script(busy), script(idle), program=True)
    assert (first.step, second.step) == (0, 1)
    assert 0.2 < first.compute_s <= first.wall_s
    assert first.compute_s > 2 * first.io_s
    assert first.written_mib < 1
    assert second.wall_s - second.compute_s - second.io_s > 0.3
    assert second.written_mib >= 3
    assert first.staging_s > 0


async def test_steps_of_calculators(master):
    slow, quick = ("echo.map", {"seconds": 0.6}), "echo.map"
    first, second = await costs_of(master, slow, quick)
    assert first.wall_s > 0.6 > second.wall_s
    assert first.compute_s < 0.3


def test_quick_tasks_tell_nothing(tmp_path):
    ref = AttemptRef(0, 0, 1, 1)
    quick, slow = (
        Attempt(ref, "job", place=tmp_path, state=None, say=print, listen=lambda: None)
        for _ in range(2)
    )
    assert quick.result(Batch(done=1)).costs == []
    slow.began -= 1.0
    assert [row.step for row in slow.result(Batch(done=1)).costs] == [0]


def test_what_is_written_later_counts_as_it_ended(tmp_path):
    ref = AttemptRef(0, 0, 1, 1)
    attempt = Attempt(ref, "job", place=tmp_path, state=None, say=print, listen=lambda: None)
    attempt.end(1)
    attempt.began -= 1.0
    result = attempt.result(Batch(done=1))
    assert result.duration_s < 0.5
    assert result.costs == []


def test_the_kernel_is_not_asked_again_for_each_short_task():
    own = OwnProcess()
    first = own.times(100.0)
    for _ in range(40):
        sum(range(10**6))
    assert own.times(100.01) is first
    assert own.times(101.0).user > first.user


def test_a_disk_that_is_waited_for():
    costs = Costs(time.monotonic() - 10.0)
    costs.ran(Usage(8.0, 8.0, 2.0, 0.5, 1.0, 2.0), cores=4)
    costs.staged(1.0)
    costs.end_step(2)
    (row,) = costs.rows
    assert row[2:] == (2.0, 4.5, 1.0, 1.0, 2.0)
    assert row.step == 2
    costs.ran(Usage(1.0, 4.0, 4.0, 1.0), cores=2)  # never more than there was
    costs.end_step(3)
    assert (costs.rows[1].compute_s, costs.rows[1].io_s) == (1.0, 0.0)
