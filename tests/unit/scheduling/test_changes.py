import pytest

from stargen.errors import CampaignError, Problems
from stargen.scheduling.changes import compatible
from stargen.scheduling.parser import draft

OLD = """
[campaign]
name = "c"
seed = 1
[[job]]
name = "make"
use = "t.source"
params = { count = 5 }
[[job]]
name = "screen"
input = "make"
[[job.step]]
use = "t.map"
cutoff = 1
[[job]]
name = "best"
input = "screen"
select = { where = "e < 1" }
"""


def refusal(new, begun=("make", "screen", "best")):
    with pytest.raises((CampaignError, Problems)) as caught:
        compatible(OLD, draft(new, "c.toml"), begun)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "screen"', 'name = "screen"\npriority = 3\nretries = { memory = 9 }'),
        ('name = "screen"', 'name = "screen"\nresources = { cores = 2 }\npool = "b"\ngrain = 3'),
        ("seed = 1", 'seed = 1\nstop = { job = "best", kept = 3 }\ndatabase = "sqlite:///x"'),
        ("seed = 1", "# a comment\nseed = 1"),
        ('"e < 1" }', '"e < 1" }\n[[job]]\nname = "more"\ninput = "make"\nuse = "t.map"'),
    ],
)
def test_how_a_campaign_is_run_may_change(old, new):
    changed = OLD.replace(old, new)
    assert changed != OLD
    compatible(OLD, draft(changed), ["make", "screen", "best"])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed = 1", "seed = 2", ["c.toml:4: campaign.seed: was 1 when the campaign began"]),
        ('"c"', '"d"', ["c.toml:3: campaign.name", 'write name = "c"']),
        ("seed = 1", 'seed = 1\nchemistry = { require = ["Li"] }', ["sources have obeyed it"]),
        ("count = 5", "count = 6", ["c.toml:8: job.params", "count was 5", "another name"]),
        ("cutoff = 1", "cutof = 1", ["job.step", "cutof was not given, cutoff was 1"]),
        ('"t.map"', '"t.other"', ["screen has results of t.map"]),
        ("e < 1", "e < 2", ["job.select", "best has chosen candidates by another select"]),
        ('input = "screen"', 'input = "make"', ["the input of best was screen"]),
        ('"best"', '"beste"', ["the job best is missing", "did you mean beste?"]),
    ],
)
def test_what_has_results_keeps_its_meaning(old, new, words):
    message = refusal(OLD.replace(old, new))
    for word in words:
        assert word in message


def test_a_job_that_has_not_begun_may_still_change():
    changed = OLD.replace("cutoff = 1", "cutoff = 2").replace("e < 1", "e < 2")
    compatible(OLD, draft(changed), ["make"])
    assert "the input of best was screen" in refusal(
        OLD.replace('input = "screen"', 'input = "make"'), begun=()
    )
