"""Who looks gets samples more often, and only then."""

from stargen.executing.interest import Interest, last_words
from stargen.messages import AttemptRef, Look


def sent(interest, seconds):
    """At which of these seconds a sample goes out."""
    return [second for second in seconds if interest.due(float(second))]


def test_nobody_looks_and_a_sample_goes_every_ten_seconds():
    assert sent(Interest(), range(100, 125)) == [100, 110, 120]


def test_samples_come_as_often_as_somebody_wants_until_he_has_gone():
    interest = Interest()
    interest.take(Look(2.0, 6.0), 100.0)
    assert sent(interest, range(100, 127)) == [100, 102, 104, 114, 124]


def test_only_who_looks_closely_gets_everything():
    interest = Interest()
    interest.take(Look(1.0, 20.0), 100.0)
    assert not interest.closely(101.0)
    interest.take(Look(1.0, 20.0, closely=True, tasks=[[2, 7]]), 100.0)
    assert interest.closely(101.0)
    assert not interest.closely(121.0)
    assert interest.wants(AttemptRef(2, 7, 1, 1))
    assert not interest.wants(AttemptRef(2, 8, 1, 1))


def test_the_last_words_are_those_of_the_newest_step(tmp_path):
    log = tmp_path / "worker.log"
    log.write_text("loaded\n")
    assert last_words(tmp_path / "none", log) == "loaded"
    folder = tmp_path / "task"
    (folder / "1").mkdir(parents=True)
    (folder / "stdout.txt").write_text("first step\n")
    assert last_words(folder, log) == "first step"
    (folder / "1" / "stderr.txt").write_text("a warning\n")
    (folder / "1" / "stdout.txt").write_text("second step\n")
    assert last_words(folder, log) == "a warning\nsecond step"
