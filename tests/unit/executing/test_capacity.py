import pytest

from stargen.executing.capacity import Capacity, Topology
from stargen.model import Resources

TWO_SOCKETS = Topology(cores=((0, 1, 2, 3), (4, 5, 6, 7)), gpus=(0, 1))


def node(**more):
    return Capacity(Resources(cores=8, gpus=2, memory_gib=16, io=2, **more), TWO_SOCKETS)


def test_cores_of_one_task_lie_on_one_numa_node():
    capacity = node()
    first = capacity.take(Resources(cores=1))
    wide = capacity.take(Resources(cores=4))
    assert wide.cores == (4, 5, 6, 7)
    small = capacity.take(Resources(cores=2))
    assert set(small.cores) < {0, 1, 2, 3}, "the fuller node is filled up first"
    assert not set(small.cores) & set(first.cores)


def test_cores_spill_over_when_no_numa_node_has_enough():
    assert set(node().take(Resources(cores=6)).cores) <= set(range(8))
    assert not node().fits(Resources(cores=9))


def test_what_spills_over_touches_as_few_numa_nodes_as_can_be():
    lanes = ((0, 1), (2, 3, 4, 5), (6, 7, 8), (9, 10, 11, 12))
    capacity = Capacity(Resources(cores=13), Topology(lanes))
    assert capacity.take(Resources(cores=6)).cores == (9, 10, 11, 12, 0, 1)
    assert capacity.take(Resources(cores=6)).cores == (2, 3, 4, 5, 6, 7)


def test_preferred_cores_are_given_if_free():
    capacity = node()
    assert capacity.take(Resources(cores=2), prefer=(2, 6)).cores == (2, 6)
    assert capacity.take(Resources(cores=2), prefer=(2, 3)).cores != (2, 3)


def test_three_thirds_of_a_gpu_fit_and_a_fourth_does_not():
    capacity = Capacity(Resources(cores=8, gpus=1), Topology(((0, 1, 2, 3, 4, 5, 6, 7),), (0,)))
    third = Resources(cores=1, gpus=1 / 3)
    for _ in range(3):
        capacity.take(third)
    assert not capacity.fits(third)
    capacity.check()


def test_shares_fill_one_gpu_before_they_break_another():
    capacity = node()
    half = Resources(cores=1, gpus=0.5)
    assert [capacity.take(half).gpus[0][0] for _ in range(2)] == [0, 0]
    assert capacity.fits(Resources(cores=1, gpus=1))
    assert not capacity.fits(Resources(cores=1, gpus=1.5))


def test_a_grant_that_is_about_to_be_freed_counts():
    capacity = node()
    all_gpus = capacity.take(Resources(cores=1, gpus=2))
    assert not capacity.fits(Resources(cores=1, gpus=1.5))
    assert capacity.fits(Resources(cores=1, gpus=1.5), freed=all_gpus)


def test_custom_resources_and_memory_are_counted():
    capacity = node(custom=(("licence", 2.0),))
    request = Resources(cores=1, memory_gib=8, custom=(("licence", 1.0),))
    first = capacity.take(request)
    capacity.take(request)
    assert not capacity.fits(Resources(cores=1, custom=(("licence", 0.5),)))
    assert not capacity.fits(Resources(cores=1, memory_gib=0.1))
    assert not capacity.possible(Resources(custom=(("beamline", 1.0),)))
    capacity.release(first)
    assert capacity.free_gib() == 8
    capacity.check()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        node().take(Resources(cores=9))
    with pytest.raises(ValueError, match="does not describe"):
        Capacity(Resources(cores=3), TWO_SOCKETS)


def test_a_grant_is_released_once():
    capacity = node()
    grant = capacity.take(Resources())
    capacity.release(grant)
    with pytest.raises(KeyError):
        capacity.release(grant)


def test_what_takes_no_core_no_gpu_and_no_slot_is_not_possible():
    """Nothing would bound how many of it run at once."""
    assert not node().possible(Resources(cores=0, memory_gib=1))
    assert node().possible(Resources(cores=0, io=1))
    assert node().possible(Resources(cores=0, gpus=0.5))
    licensed = node(custom=(("licences", 2.0),))
    assert licensed.possible(Resources(cores=0, custom=(("licences", 1.0),)))
    assert not licensed.possible(Resources(cores=0, custom=(("licences", 0.0),)))
