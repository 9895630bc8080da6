from stargen_dft.properties import MOST_STEPS, ionic_steps


def test_the_last_steps_are_told_and_nothing_where_there_are_none():
    many = [float(number) for number in range(MOST_STEPS + 7)]
    told = ionic_steps(many, many)
    assert told["ionic_energies_ev"] == told["ionic_max_forces_ev_per_ang"] == many[7:]
    assert ionic_steps([], []) == {}
