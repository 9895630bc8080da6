from stargen.executing.lease import Lease, Standing


def test_an_agent_without_a_first_master_goes_after_lease_and_grace():
    lease = Lease(10, 2, now=100)
    assert lease.standing(109.9) is Standing.ALONE
    assert lease.standing(110) is Standing.WINDING_DOWN
    assert lease.standing(112) is Standing.OVER


def test_the_lease_does_not_run_while_a_master_is_there():
    lease = Lease(10, 2, now=0)
    lease.attach(30)
    assert lease.standing(1e6) is Standing.ATTACHED
    assert lease.left_s(1e6) is None
    lease.detach(1e6)
    assert lease.standing(1e6 + 29) is Standing.ALONE
    assert lease.left_s(1e6 + 29) == 1


def test_the_first_loss_counts():
    lease = Lease(10, 2, now=0)
    lease.attach(10)
    lease.detach(50)
    lease.detach(55)
    assert lease.left_s(56) == 4


def test_a_master_that_comes_back_during_the_winding_down_ends_it():
    lease = Lease(10, 5, now=0)
    assert lease.standing(12) is Standing.WINDING_DOWN
    lease.attach(10)
    assert lease.standing(13) is Standing.ATTACHED
