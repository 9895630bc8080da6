from dataclasses import fields
from pathlib import Path

import pytest

from stargen.errors import CampaignError, Problems
from stargen.model import (
    Campaign,
    Chemistry,
    JobSpec,
    Resources,
    Retries,
    SelectSpec,
    StepSpec,
    StopSpec,
)
from stargen.scheduling.campaign_file import CampaignTable, JobTable, ResourcesTable
from stargen.scheduling.parser import draft, parse
from stargen.typed import key_of

TEXT = """
[campaign]
name = "li-oxides"
seed = 7
database = "sqlite:///li-oxides.db"
chemistry = { require = ["Li", "O"], allow = ["P", "Ti"], max_elements = 4 }
stop = { job = "unique", kept = 10_000, max_candidates = 200_000, max_node_hours = 500 }

[[job]]
name = "generate"
use = "diffusion.sample"
params = { weights = "mp20-small" }

[[job]]
name = "screen"
input = "generate"
grain = 100
[[job.step]]
use = "filters.composition"
max_elements = 10
[[job.step]]
use = "filters.geometry"

[[job]]
name = "predict"
input = "screen"
use = "crysformer.predict"
resources = { gpus = 1, or = { cores = 2, custom = { b = 2, a = 1 } } }

[[job]]
name = "shortlist"
input = "predict"
select = { where = "e < 0.1", order_by = "-e", limit = 500 }

[[job]]
name = "dft"
input = ["shortlist", "predict"]
pool = "cpu"
priority = -1
resources = { cores = 24, memory_gib = 48, walltime_s = 1800, scratch = "ram" }
retries = { calculation = 3 }
use = "vasp.relax"
"""


def refusal(text):
    with pytest.raises((CampaignError, Problems)) as caught:
        parse(text, "c.toml")
    return str(caught.value)


def job(text):
    return '[campaign]\nname = "c"\n[[job]]\nname = "j"\n' + text


def test_a_whole_campaign():
    assert parse(TEXT, "c.toml") == Campaign(
        name="li-oxides",
        seed=7,
        database="sqlite:///li-oxides.db",
        chemistry=Chemistry(require=("Li", "O"), allow=("P", "Ti"), max_elements=4),
        stop=StopSpec("unique", 10_000, 200_000, 500.0),
        file="c.toml",
        jobs=(
            JobSpec("generate", (StepSpec("diffusion.sample", {"weights": "mp20-small"}),), line=9),
            JobSpec(
                "screen",
                (
                    StepSpec("filters.composition", {"max_elements": 10}),
                    StepSpec("filters.geometry"),
                ),
                ("generate",),
                grain=100,
                line=14,
            ),
            JobSpec(
                "predict",
                (StepSpec("crysformer.predict"),),
                ("screen",),
                resources=(
                    Resources(gpus=1.0),
                    Resources(cores=2, custom=(("a", 1.0), ("b", 2.0))),
                ),
                line=24,
            ),
            JobSpec(
                "shortlist",
                (),
                ("predict",),
                SelectSpec("e < 0.1", "-e", 500),
                line=30,
            ),
            JobSpec(
                "dft",
                (StepSpec("vasp.relax"),),
                ("shortlist", "predict"),
                pool="cpu",
                resources=(Resources(cores=24, memory_gib=48.0, walltime_s=1800.0, scratch="ram"),),
                retries=Retries(calculation=3),
                priority=-1,
                line=35,
            ),
        ),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["[campaign] is missing", "there is no job"]),
        ("[campaign", ["c.toml:1: not valid TOML, column"]),
        ("[campaign]\nname = 'a b'\n[[job]]", ["c.toml:2: campaign.name", "cannot be a name"]),
        ("[campain]\n[[job]]", ["unknown table", "did you mean campaign?"]),
        ("[campaign]\nname = 'c'\n[job]", ["found a table, expected a list", "write [[job]]"]),
        ("campaign = 3\n[[job]]", ["must be a table", "write [campaign]"]),
        (job("input = ['a', 3]"), ["c.toml:5: job.input", "expected text"]),
        (job("inputs = 'a'"), ["unknown key", "did you mean input?"]),
        (job("use = 'a.b'\nselect = { limit = 1 }"), ["this has use and select"]),
        (job("priority = 1"), ["c.toml:3: job", "this has none of them"]),
        (job("params = {}\n[[job.step]]\nx = 1"), ["the step names no calculator"]),
        (job("params = { a = 1 }\n[[job.step]]\nuse='a.b'"), ["params go with `use` only"]),
        (job("select = {}"), ["job.select: selects nothing"]),
        (job("select = { limit = 3 }"), ["go together", "add order_by"]),
        (job("select = { order_by = 'x' }"), ["go together", "add limit"]),
        (job("select = { order_by = 'x', limit = 0 }"), ["limit: is 0, must be at least 1"]),
        (job("select = { order_by = 'x', limit = 1, sample = 2 }"), ["both sample and limit"]),
        (job("select = { where = 'x', rolling = true }"), ["rolling needs order_by and limit"]),
        (job("select = { where = 'x', per = 'formula' }"), ["per alone selects nothing"]),
        (job("use = 'a.b'\nresources = { cores = -1 }"), ["cores: is -1, must be at least 0"]),
        (job("use = 'a.b'\nresources = { memory = 1 }"), ["did you mean memory_gib?"]),
        (job("use = 'a.b'\nretries = { memory = -1 }"), ["memory: is -1, must be at least 0"]),
        (job("use = 'a.b'\ngrain = 'big'"), ['"big" is not one of "auto"']),
        (job("use = 'a.b'\n[[job]]\nname = 'j'\nuse = 'a.b'"), ['line 3 is called "j" too']),
    ],
)
def test_a_refusal_says_where_what_and_what_to_write(text, words):
    message = refusal(text)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("chemistry", "words"),
    [
        ('{ require = ["Li", "o"] }', ['"o" is no element', "did you mean O?"]),
        ('{ require = ["Li"], exclude = ["Li"] }', ["Li is required and excluded"]),
        ('{ require = ["Li", "O"], max_elements = 1 }', ["is 1, must be at least 2"]),
    ],
)
def test_chemistry_must_make_sense(chemistry, words):
    message = refusal(f"[campaign]\nname = 'c'\nchemistry = {chemistry}\n[[job]]\nname='j'")
    for word in words:
        assert word in message


def test_stop_has_positive_numbers():
    message = refusal("[campaign]\nname = 'c'\nstop = { job = 'j', kept = 0, max_node_hours = -1 }")
    assert "stop.kept: is 0, must be at least 1" in message
    assert "stop.max_node_hours: is -1.0, must be at least 0" in message


def test_one_broken_job_does_not_hide_the_others():
    made = draft(job("use = 3") + "\n[[job]]\nname = 'k'\ninput = 'j'\nuse = 'a.b'\nprioriti = 1")
    assert made.broken == {"j"}
    assert [(j.name, path) for j, path in zip(made.campaign.jobs, made.paths, strict=True)] == [
        ("k", ("job", 1))
    ]
    assert [problem.line for problem in made.problems] == [5, 10]


def test_the_reference_explains_every_key():
    page = (Path(__file__).parents[3] / "docs" / "reference" / "campaign.md").read_text("utf-8")
    tables = (CampaignTable, JobTable, ResourcesTable, Chemistry, StopSpec, SelectSpec, Retries)
    keys = {key_of(f) for table in tables for f in fields(table)}
    assert sorted(key for key in keys if f"`{key}`" not in page) == []
