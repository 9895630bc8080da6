import itertools

import pytest
from stargen_database.standing import Jobs, Standing

from stargen.crystal import Drop, Envelope

#  make -> screen -> relax -> shortlist -> dft
#                         \-> unbiased --/
JOBS = Jobs(
    {
        "make": [],
        "screen": ["make"],
        "relax": ["screen"],
        "shortlist": ["relax"],
        "unbiased": ["relax"],
        "dft": ["shortlist", "unbiased"],
    }
)


def standing(*items):
    """Fold ("job", {properties}) and ("job", "status", "reason")."""
    one = Standing("make/1")
    for item in items:
        match item:
            case (job, dict() as properties):
                one.arrive(job, Envelope("make/1", b"", "Li2O", 3, properties), b"", JOBS)
            case (job, status, reason):
                one.end(status, job, Drop("make/1", reason, "because"), JOBS)
    return one


def test_a_candidate_under_way_is_alive():
    one = standing(("make", {}), ("screen", {}))
    assert (one.stage, one.status, one.reason) == ("screen", "alive", None)


def test_out_of_a_last_job_it_is_kept_for_good():
    one = standing(("relax", {}), ("unbiased", {}), ("dft", {}), ("shortlist", "dropped", "late"))
    assert (one.stage, one.status, one.reason) == ("dft", "kept", None)


def test_a_verdict_names_job_and_reason():
    one = standing(("make", {}), ("screen", "dropped", "charge"))
    assert (one.stage, one.status) == ("make", "dropped")
    assert (one.verdict_job, one.reason, one.detail) == ("screen", "charge", "because")


def test_set_aside_and_brought_through_later():
    one = standing(("screen", {}), ("relax", "quarantined", "segfault"))
    assert (one.status, one.verdict_job) == ("quarantined", "relax")
    one.arrive("relax", Envelope("make/1", b"", "Li2O", 3, {}), b"", JOBS)
    assert (one.status, one.reason) == ("alive", None)


@pytest.mark.parametrize(
    "items", list(itertools.permutations([("dft", {"b": 2}), ("relax", {"a": 1, "b": 0})]))
)
def test_the_furthest_word_counts_whatever_the_order(items):
    one = standing(("make", {"a": 0}), *items)
    assert (one.stage, one.status) == ("dft", "kept")
    assert one.properties["b"] == 2


def test_a_branch_that_goes_on_outlives_a_verdict_before_it():
    one = standing(("relax", {}), ("shortlist", "dropped", "too high"), ("unbiased", {}))
    assert (one.status, one.reason) == ("alive", None)
    one = standing(("relax", {}), ("unbiased", {}), ("shortlist", "dropped", "too high"))
    assert one.status == "alive"


def test_values_of_branches_come_together():
    one = standing(("relax", {"e": 1.0}), ("unbiased", {"e": 1.0, "u": 1}), ("shortlist", {"s": 1}))
    assert one.properties == {"e": 1.0, "u": 1, "s": 1}
    assert one.stage == "unbiased"


def test_jobs_of_a_former_file_come_before_all():
    one = standing(("gone", {"x": 1}), ("make", {"x": 2}))
    assert one.stage == "make"
    assert one.properties == {"x": 2}


def test_numbers_of_a_stand_in_never_bear_the_names_of_dft():
    one = standing(
        ("relax", {"energy_per_atom": -3.9, "energy_scheme": "chgnet-0.3.0/mp2020"}),
        (
            "dft",
            {
                "engine": "stand-in for vasp 1.0 (emt)",
                "energy_per_atom": -4.0,
                "energy_scheme": "stand-in/stand-in",
                "band_gap": 1.2,
                "corrections": 1,
            },
        ),
    )
    assert one.properties == {
        "energy_per_atom": -3.9,
        "energy_scheme": "chgnet-0.3.0/mp2020",
        "engine": "stand-in for vasp 1.0 (emt)",
        "standin_energy_per_atom": -4.0,
        "standin_energy_scheme": "stand-in/stand-in",
        "standin_band_gap": 1.2,
        "corrections": 1,
    }


def test_numbers_of_a_dft_program_keep_their_names():
    found = {"engine": "vasp 6.4.2", "energy_per_atom": -4.0, "band_gap": 1.2}
    assert standing(("dft", found)).properties == found
