from hypothesis import given
from hypothesis import strategies as st

from stargen.model import Resources
from stargen.scheduling.distributor import PREFILL_MAX, Distributor

NODE = Resources(cores=8, gpus=2.0, memory_gib=32.0, io=2, custom=(("licence", 3.0),))
REQUESTS = [
    Resources(cores=1),
    Resources(cores=4, memory_gib=10.0),
    Resources(cores=1, gpus=0.5),
    Resources(cores=1, io=1),
    Resources(cores=1, custom=(("licence", 1.0),)),
]


def test_what_fits_is_the_scarcest_resource():
    d = Distributor(NODE)
    assert [d.fits(r) for r in REQUESTS] == [8, 2, 4, 2, 3]
    assert d.fits(Resources(cores=9)) == 0
    assert d.slots(Resources(cores=1, custom=(("other", 1.0),))) == 0


def test_a_task_sent_ahead_takes_over_when_a_running_one_ends():
    d = Distributor(Resources(cores=2))
    one = Resources(cores=1)
    d.take(0, [0, 1, 2, 3], one)
    assert (d.fits(one), d.prefilled(one)) == (0, 2)
    d.release(0, [0], one)
    assert (d.fits(one), d.prefilled(one)) == (0, 1)
    d.release(0, [1, 2], one)
    assert (d.fits(one), d.prefilled(one)) == (1, 0)
    d.check()


def test_only_short_tasks_are_sent_ahead_and_not_without_bound():
    d = Distributor(Resources(cores=2))
    one = Resources(cores=1)
    assert d.room(one, None, 1000) == 2
    assert d.room(one, 10.0, 1000) == 2
    assert d.room(one, 0.05, 1000) == 2 + 2 * 5
    assert d.room(one, 0.0, 1000) == 2 + 2 * PREFILL_MAX
    assert d.room(one, 0.0, 7) == 2 + 7, "many nodes share what a master hands out"


def test_there_is_no_room_for_less_than_a_message_is_worth_while_enough_is_in_hand():
    d = Distributor(Resources(cores=4))
    one = Resources(cores=1)
    assert d.room(one, 0.0, 6, least=5) == 10
    d.take(0, [0, 1, 2, 3, 4], one)
    assert d.room(one, 0.0, 6, least=5) == 5
    d.take(0, [5], one)
    assert d.room(one, 0.0, 6, least=4) == 4
    assert d.room(one, 0.0, 6, least=500) == 0, "more than half is in hand"
    d.release(0, [0], one)
    assert d.room(one, 0.0, 6, least=500) == 5, "half is in hand: it is not left to run dry"


def test_nothing_is_sent_ahead_to_wait_behind_other_tasks():
    d = Distributor(Resources(cores=4))
    short = Resources(cores=1)
    d.take(0, [0], Resources(cores=3))
    assert d.room(short, 0.05, 1000) == 1 + 1 * 5, "one core is left"
    d.take(1, [0], short)
    assert d.room(short, 0.05, 1000) == 5, "behind the one that runs"
    full = Distributor(Resources(cores=4))
    full.take(0, [0], Resources(cores=4))
    assert full.room(short, 0.05, 1000) == 0


def test_releasing_twice_changes_nothing():
    d = Distributor(Resources(cores=2))
    d.take(0, [5], Resources(cores=1))
    d.release(0, [5], Resources(cores=1))
    d.release(0, [5], Resources(cores=1))
    assert d.idle
    d.check()


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=60))
def test_the_account_always_adds_up_and_never_overcommits(moves):
    d = Distributor(NODE)
    held: list[tuple[int, int]] = []
    for ordinal, (which, take) in enumerate(moves):
        if take or not held:
            d.take(which, [ordinal], REQUESTS[which])
            held.append((which, ordinal))
        else:
            which, ordinal = held.pop(ordinal % len(held))
            d.release(which, [ordinal], REQUESTS[which])
        d.check()
