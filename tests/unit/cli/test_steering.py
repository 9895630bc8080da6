import pytest


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        (("hold", "pass"), ("hold", "pass")),
        (("hold",), ("hold", "")),
        (("release", "pass"), ("release", "pass")),
        (("retry",), ("retry", "")),
        (("retry", "pass"), ("retry", "pass")),
        (("cancel", "pass"), ("cancel", "pass")),
        (("cancel", "pass/3"), ("cancel-task", "pass/3")),
    ],
)
def test_what_is_asked_reaches_the_master(stargen, master, line, asked):
    answer = stargen(*line)
    assert answer.code == 0
    assert answer.out.startswith(f"asked to {line[0]}")
    assert master.asked == [asked]


def test_the_master_may_refuse(stargen, master):
    answer = stargen("hold", "none")
    assert answer.code == 2
    assert "there is no job none" in answer.err


def test_cancel_needs_a_target(stargen, master):
    assert stargen("cancel").code == 2


def test_without_a_master_it_says_what_to_do(stargen, campaign):
    answer = stargen("retry", "pass")
    assert answer.code == 2
    assert "stargen up FILE --retry pass" in answer.err
    assert "stargen up FILE --release all" in stargen("release").err
    assert "stargen up" not in stargen("hold", "pass").err
