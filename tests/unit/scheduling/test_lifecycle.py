import pytest

from stargen.errors import InvariantBroken
from stargen.scheduling.lifecycle import ENDED, follow


def test_a_task_that_ended_stays_so():
    for state in ENDED:
        for happening in ("assigned", "returned", "retried", "finished", "split", "quarantined"):
            with pytest.raises(InvariantBroken):
                follow(state, happening)


def test_a_queued_task_can_still_be_finished_by_a_late_result():
    assert follow("queued", "finished") == "finished"
    with pytest.raises(InvariantBroken):
        follow("queued", "returned")
