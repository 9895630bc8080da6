from pathlib import Path

import numpy as np
import pytest

from stargen.calculators.conformance import LocalContext
from stargen.crystal import Crystal
from stargen.model import Chemistry, Resources

CRYSTAL = Crystal.of(np.eye(3) * 3.0, [[0, 0, 0]], [29])


def draw(*key, **context):
    return LocalContext(None, **context).rng(*key).integers(2**62)


def test_random_numbers_depend_on_seed_job_step_and_key_alone():
    same = draw(7, "a")
    assert draw(7, "a") == same
    assert draw(7, "a", resources=Resources(cores=9), input_folder=Path("/x")) == same
    for other in (
        draw(8, "a"),
        draw(7, "b"),
        draw("7", "a"),
        draw(7, "a", seed=1),
        draw(7, "a", job="other"),
        draw(7, "a", use="plugin.other"),
    ):
        assert other != same


def test_keys_do_not_run_into_each_other():
    assert draw("ab", "c") != draw("a", "bc")
    assert draw(12, 3) != draw(1, 23)


def test_random_numbers_stay_what_they_were():
    # A change here changes the results of every stochastic campaign.
    assert draw(7, "a") == 1075953593568074609


def test_births_are_named_by_job_and_ordinal():
    context = LocalContext(None, job="make")
    born = context.birth(3, CRYSTAL, size=1.5)
    assert (born.candidate_id, dict(born.properties)) == ("make/3", {"size": 1.5})
    dead = context.stillborn(4, "unreadable", "line 3")
    assert (dead.candidate_id, dead.reason, dead.detail) == ("make/4", "unreadable", "line 3")


def test_the_lowest_end_of_a_source_counts_until_the_next_task():
    context = LocalContext(None)
    for ordinal in (9, 7, 8):
        context.end_of_source(ordinal)
    assert context.source_end == 7
    context.begin(range(3))
    assert context.source_end is None
    assert context.ordinals == range(3)


def test_files_are_relative_to_the_campaign():
    context = LocalContext(None, input_folder=Path("/campaign"))
    assert context.input_file("a/b.cif") == Path("/campaign/a/b.cif")
    assert context.input_file("/elsewhere/b.cif") == Path("/elsewhere/b.cif")


def test_the_local_context_remembers_what_it_is_told():
    context = LocalContext({"x": 1}, chemistry=Chemistry(require=("Li",)), state=b"before")
    assert context.resume() == b"before"
    context.checkpoint(b"after")
    assert context.resume() == b"after"
    context.progress(1, 2)
    assert context.told == [(1, 2)]
    folder = context.folder
    (folder / "x").write_text("1")
    assert context.folder == folder
    context.clear()
    assert not folder.exists()
    assert context.chemistry.require == ("Li",)
    assert not context.stop_requested


@pytest.mark.parametrize("attribute", ["resources", "devices", "kept"])
def test_every_member_of_the_contract_is_there(attribute):
    assert hasattr(LocalContext(None), attribute)
