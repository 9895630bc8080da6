import pytest

from stargen.executing.buffer import TaskBuffer
from stargen.executing.capacity import Capacity, Topology
from stargen.messages import AttemptRef, TaskOrder
from stargen.model import Resources

CPU = Resources(cores=1)
GPU = Resources(cores=1, gpus=1)
IO = Resources(cores=0, io=1)


def orders(*ordinals):
    return [TaskOrder(i, i + 100, i, i + 1, [b""], []) for i in ordinals]


def make(cores=2, gpus=0, io=0, **options):
    topology = Topology((tuple(range(cores)),), tuple(range(gpus)))
    node = Resources(cores=cores, gpus=gpus, io=io)
    return TaskBuffer(Capacity(node, topology), **options)


def served(buffer, now=0.0):
    """Start and finish one task after another; their ordinals in the order served."""
    seen = []
    while (line := buffer.next(now)) is not None:
        grant = buffer.grant(line)
        seen += [w.order.ordinal for w in buffer.draw(line, 1)]
        buffer.finish(line, grant)
    return seen


def test_priority_comes_before_arrival():
    buffer = make()
    buffer.accept(0, CPU, 0, 1, orders(0, 1))
    buffer.accept(1, CPU, 5, 1, orders(2, 3))
    assert served(buffer) == [2, 3, 0, 1]


def test_equal_lines_are_served_in_order_of_arrival():
    buffer = make()
    for first in (0, 2, 4):
        buffer.accept(0, CPU, 0, 1, orders(first))
        buffer.accept(1, CPU, 0, 1, orders(first + 1))
    assert served(buffer) == [0, 1, 2, 3, 4, 5]


def test_gpu_before_io_before_cpu():
    buffer = make(cores=1, gpus=1, io=1)
    buffer.accept(0, CPU, 0, 1, orders(0))
    buffer.accept(1, IO, 0, 1, orders(1))
    buffer.accept(2, GPU, 0, 1, orders(2))
    assert buffer.waiting() == {"gpu": 1, "io": 1, "cpu": 1}
    assert served(buffer) == [2, 1, 0]


def test_what_fits_passes_what_does_not_until_patience_ends():
    buffer = make(cores=2, patience_s=30)
    small = buffer.accept(0, CPU, 0, 1, orders(0))
    running = buffer.grant(small)
    buffer.draw(small, 1)
    buffer.accept(1, Resources(cores=2), 0, 1, orders(1))
    buffer.accept(2, CPU, 0, 1, orders(2, 3))
    assert buffer.next(0.0).job == 2
    assert buffer.next(29.0).job == 2
    assert buffer.next(30.0) is None, "the second core is kept for the wide task"
    buffer.finish(small, running)
    assert buffer.next(30.0).job == 1


def test_a_line_that_already_runs_keeps_nothing_free():
    buffer = make(cores=3, patience_s=30)
    wide = buffer.accept(0, Resources(cores=2), 0, 1, orders(0, 1))
    buffer.grant(wide)
    buffer.draw(wide, 1)
    buffer.accept(1, CPU, 0, 1, orders(2))
    assert buffer.next(0.0).job == 1
    assert buffer.next(1000.0).job == 1


def test_patience_for_a_gpu_leaves_other_cores_to_cpu_tasks():
    buffer = make(cores=4, gpus=1, patience_s=30)
    gpu = buffer.accept(0, GPU, 0, 1, orders(0))
    buffer.grant(gpu)
    buffer.draw(gpu, 1)
    buffer.accept(3, GPU, 0, 1, orders(1))
    buffer.accept(1, CPU, 0, 1, orders(2, 3, 4))
    buffer.next(0.0)
    for _ in range(2):
        line = buffer.next(60.0)
        assert line.job == 1
        buffer.grant(line)
        buffer.draw(line, 1)
    assert buffer.next(60.0) is None, "one core waits with the GPU task"


def test_a_grant_yields_to_a_more_deserving_line():
    buffer = make(cores=1)
    low = buffer.accept(0, CPU, 0, 1, orders(0, 1, 2))
    grant = buffer.grant(low)
    buffer.draw(low, 1)
    assert not buffer.should_yield(low, grant, 0.0)
    buffer.accept(1, CPU, 0, 1, orders(3))
    assert not buffer.should_yield(low, grant, 0.0), "an equal one that came later waits"
    buffer.accept(2, CPU, 1, 1, orders(4))
    assert buffer.should_yield(low, grant, 0.0)


def test_giving_back_takes_the_newest_of_a_job():
    buffer = make()
    buffer.accept(0, CPU, 0, 7, orders(0, 1, 2))
    buffer.accept(0, Resources(cores=2), 0, 7, orders(3))
    buffer.accept(1, CPU, 0, 7, orders(9))
    assert set(buffer.give_back(0, 2)) == {AttemptRef(0, 3, 7, 103), AttemptRef(0, 2, 7, 102)}
    assert [ref.ordinal for ref in buffer.refs()] == [0, 1, 9]
    assert len(buffer) == 3


def test_removing_tells_what_was_there():
    buffer = make()
    buffer.accept(0, CPU, 0, 7, orders(0, 1))
    assert buffer.remove([AttemptRef(0, 1, 7, 101), AttemptRef(0, 1, 8, 101)]) == [
        AttemptRef(0, 1, 7, 101)
    ]
    assert len(buffer) == 1


def test_put_back_restores_the_order():
    buffer = make()
    line = buffer.accept(0, CPU, 0, 1, orders(0, 1, 2, 3))
    grant = buffer.grant(line)
    rows = buffer.draw(line, 3)
    buffer.put_back(line, rows[1:])
    buffer.finish(line, grant)
    assert served(buffer) == [1, 2, 3]


def test_what_the_node_can_never_run_is_refused():
    with pytest.raises(ValueError, match="this node has"):
        make(cores=2).accept(0, Resources(cores=3), 0, 1, orders(0))
