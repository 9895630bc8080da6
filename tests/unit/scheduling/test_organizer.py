from dataclasses import dataclass
from pathlib import Path

import pytest

from stargen.calculators.contract import CalculatorInfo
from stargen.crystal import Envelope
from stargen.errors import CampaignError, PluginError, Problems
from stargen.model import Resources, Shape
from stargen.scheduling.organizer import organize
from stargen.scheduling.parser import draft


@dataclass(frozen=True, slots=True)
class Params:
    count: int | None = 10
    cutoff: float = 0.5

    def __post_init__(self):
        if self.cutoff < 0:
            raise ValueError("cutoff must not be negative")


def info(name, **more):
    return CalculatorInfo(name=name, api=1, factory="m:f", params=Params, **more)


def no_answer(params, envelope):
    raise RuntimeError("no answer")


INFOS = {
    i.name: i
    for i in [
        info("t.source", shape=Shape.SOURCE, total=lambda p: p.count, properties=("volume",)),
        info("t.csv", shape=Shape.SOURCE, properties=("*",)),
        info("t.map", properties=("energy",), grain=50, affinity=lambda p: f"cut{p.cutoff}"),
        info("t.fast", grain=200),
        info("t.keyed", shape=Shape.KEYED, key=lambda p: lambda e: e.formula),
        info("t.gather", shape=Shape.GATHER, properties=("hull",)),
        info("t.program", program=True, resources=lambda p, e: (Resources(cores=4),)),
        info("t.sized", by_envelope=True, resources=lambda p, e: (Resources(cores=_size(e)),)),
        info("t.check", check=lambda p, folder: [f"{folder}/x is not there"]),
        info("t.elements", check_chemistry=lambda p, c: [f"no {e}" for e in c.require]),
        info("t.broken", resources=no_answer),
    ]
}


def _size(envelope):
    return 1 if envelope is None else envelope.n_atoms


def find(name):
    if name not in INFOS:
        raise PluginError(f"no calculator {name}", hint="installed: t.map")
    return INFOS[name]


def plan(text, **more):
    return organize(draft('[campaign]\nname = "c"\nseed = 3\n' + text, "c.toml"), find, **more)


def refusal(text, **more):
    with pytest.raises((CampaignError, Problems)) as caught:
        plan(text, **more)
    return str(caught.value)


def job(name, body, input_=None):
    row = f'[[job]]\nname = "{name}"\n'
    return row + (f"input = {input_!r}\n" if input_ else "") + body + "\n"


SOURCE = job("s", 'use = "t.source"\nparams = { count = 7 }')


def envelope(name="s/1", n_atoms=3, **properties):
    return Envelope(name, b"", "LiO2", n_atoms, properties)


def test_jobs_come_breadth_first_whatever_their_order_in_the_file():
    made = plan(
        job("d", 'use = "t.map"', ["b", "c"])
        + job("c", 'use = "t.map"', "s")
        + job("b", 'use = "t.map"', "s")
        + SOURCE
    )
    assert [j.name for j in made.jobs] == ["s", "c", "b", "d"]
    assert [j.index for j in made.jobs] == [0, 1, 2, 3]
    assert made.job("d").inputs == (2, 1)
    assert made.job("s").outputs == (1, 2)
    assert made.jobs[0].total == 7
    assert made.jobs[0].shape is Shape.SOURCE


def test_a_job_of_several_steps_asks_for_the_most_of_each():
    made = plan(SOURCE + job("m", '[[job.step]]\nuse="t.map"\n[[job.step]]\nuse="t.fast"', "s"))
    screen = made.job("m")
    assert screen.grain == 50
    assert screen.affinity == "cut0.5"
    assert screen.request == (Resources(),)
    assert [type(p) for p in screen.params] == [Params, Params]


def test_what_the_campaign_says_goes_before_what_the_calculator_says():
    made = plan(SOURCE + job("m", 'use = "t.map"\ngrain = 3\nresources = { cores = 2 }', "s"))
    assert made.job("m").grain == 3
    assert made.job("m").request == (Resources(cores=2),)
    sized = plan(SOURCE + job("m", 'use = "t.sized"', "s")).job("m")
    assert sized.request == (Resources(cores=1),)
    assert sized.request_of(envelope(n_atoms=9)) == (Resources(cores=9),)


def test_programs_take_one_candidate_at_a_time():
    assert plan(SOURCE + job("p", 'use = "t.program"', "s")).job("p").grain == 1
    message = refusal(SOURCE + job("p", 'use = "t.program"\ngrain = 2', "s"))
    assert "t.program is a program, it takes one candidate at a time" in message


def test_a_keyed_job_knows_its_key():
    assert plan(SOURCE + job("k", 'use = "t.keyed"', "s")).job("k").key_of(envelope()) == "LiO2"


def test_a_select_is_compiled():
    made = plan(
        SOURCE
        + job("w", "select = { where = 'volume < 2 AND nelements=2' }", "s")
        + job("b", "select = { order_by = '-volume', limit = 2 }", "s")
        + job("r", "select = { sample = 2 }", "s")
    )
    predicate = made.job("w").predicate
    assert predicate(envelope(volume=1.0))
    assert not predicate(envelope(volume=3.0))
    rank = made.job("b").rank
    assert rank(envelope(volume=3.0)) == -3.0
    assert rank(envelope()) is None
    assert rank(envelope(volume=float("nan"))) is None
    assert made.job("b").predicate is None
    assert made.job("b").is_select
    chance = made.job("r").rank
    assert chance(envelope("s/1")) == chance(envelope("s/1", volume=3.0))
    assert 0 <= chance(envelope("s/2")) < 1
    assert chance(envelope("s/1")) != chance(envelope("s/2"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (job("m", 'use = "t.mapp"', "s"), ["c.toml:11: job.use: no calculator", "installed"]),
        (job("m", 'use = "t.map"\nparams = { cutof = 1 }', "s"), ["job.params.cutof", "cutoff?"]),
        (job("m", '[[job.step]]\nuse = "t.map"\ncutoff = "x"', "s"), ["c.toml:13: job.step.cut"]),
        (job("m", 'use = "t.map"\nparams = { cutoff = -1 }', "s"), ["cutoff must not be negative"]),
        (job("m", 'use = "t.map"', "z"), ["there is no job z", "known here: s, m"]),
        (job("m", 'use = "t.map"', ["s", "s"]), ["s is named twice"]),
        (job("m", 'use = "t.map"'), ["t.map works on candidates", "add input"]),
        (job("m", "select = { sample = 1 }"), ["a select chooses from candidates"]),
        (job("m", 'use = "t.source"', "s"), ["t.source is a source, it takes no input"]),
        (
            job("m", '[[job.step]]\nuse = "t.map"\n[[job.step]]\nuse = "t.source"', "s"),
            ["t.source is a source, it can only be the first step"],
        ),
        (
            job("m", '[[job.step]]\nuse = "t.keyed"\n[[job.step]]\nuse = "t.map"', "s"),
            ["c.toml:12: job.step.use: t.keyed (keyed) cannot share a job"],
        ),
        (
            job("m", '[[job.step]]\nuse = "t.map"\n[[job.step]]\nuse = "t.program"', "s"),
            ["t.program and t.map cannot share a job"],
        ),
        (
            job("a", 'use = "t.map"', "c") + job("b", 'use = "t.map"', "a")
            + job("c", 'use = "t.map"', "b"),
            ["the jobs form a cycle: a -> b -> c -> a"],
        ),
        (job("a", 'use = "t.map"', "a"), ["cycle: a -> a"]),
        (job("w", "select = { where = 'volum < 2' }", "s"), ["select.where", "volum", "volume"]),
        (job("w", "select = { where = 'energy < 2' }", "s"), ["energy"]),
        (job("w", "select = { where = 'volume < ' }", "s"), ["select.where: column"]),
        (job("w", "select = { order_by = 'volum', limit = 2 }", "s"), ["did you mean volume?"]),
        (job("w", "select = { order_by = 'formula', limit = 2 }", "s"), ["no number to sort by"]),
        (job("w", "select = { sample = 2, per = 'formla' }", "s"), ["did you mean formula?"]),
        (job("m", 'use = "t.broken"', "s"), ["t.broken failed to answer: RuntimeError: no answer"]),
    ],
)  # fmt: skip
def test_a_refusal_says_where_what_and_what_to_write(text, words):
    message = refusal(SOURCE + text)
    for word in words:
        assert word in message


def test_names_are_not_checked_where_only_the_run_will_show():
    made = plan(job("s", 'use = "t.csv"') + job("w", "select = { where = 'anything < 2' }", "s"))
    assert made.job("w").predicate(envelope(anything=1.0))


def test_names_come_from_everything_upstream():
    plan(
        SOURCE
        + job("m", 'use = "t.map"', "s")
        + job("k", 'use = "t.keyed"', "m")
        + job("w", "select = { where = 'energy < 2 AND volume > 1' }", "k")
    )


def test_everything_wrong_is_shown_at_once():
    message = refusal(
        job("s", 'use = "t.source"\nprioriti = 1\nparams = { count = "x" }')
        + job("m", "use = 3", "s")
        + job("w", "select = { where = 'energy <' }", "m")
        + job("x", 'use = "t.none"', "y")
    )
    assert [line.split(": ")[0] for line in message.splitlines() if line[0] != " "] == [
        "c.toml:7",
        "c.toml:8",
        "c.toml:12",
        "c.toml:16",
        "c.toml:19",
        "c.toml:20",
    ]


def test_calculators_check_their_files_only_when_asked():
    text = SOURCE + job("m", 'use = "t.check"', "s")
    plan(text)
    assert "t.check: here/x is not there" in refusal(text, folder=Path("here"))


def test_what_several_steps_object_to_is_told_once():
    text = SOURCE + job("m", 'use = "t.check"', "s") + job("n", 'use = "t.check"', "m")
    told = refusal(text, folder=Path("here"))
    assert told.count("is not there") == 1
    assert "the same holds for t.check (line " in told


def test_a_calculator_may_refuse_the_elements_of_the_campaign():
    text = 'chemistry = { require = ["Xe"] }\n' + SOURCE + job("m", 'use = "t.elements"', "s")
    assert "t.elements: no Xe" in refusal(text, folder=Path("here"))


STOP = 'stop = {{ job = "{}", kept = 5{} }}\n'


@pytest.mark.parametrize(
    ("stop", "body", "words"),
    [
        (("w", ""), "", ["there is no job w", "known here: s"]),
        (("g", ""), job("g", 'use = "t.gather"', "s"), ["g waits until everything upstream"]),
        (
            ("m", ""),
            job("g", "select = { sample = 9 }", "s") + job("m", 'use = "t.map"', "g"),
            ["g waits until everything upstream has ended", "name a job"],
        ),
        (
            ("g", ""),
            job("g", "select = { sample = 3 }", "s"),
            ["g keeps at most 3, it never reaches 5"],
        ),
        (
            ("m", ""),
            job("e", 'use = "t.csv"') + job("m", 'use = "t.map"', ["s", "e"]),
            ["e may never end", "add max_candidates"],
        ),
    ],
)
def test_a_stop_that_cannot_work_is_refused(stop, body, words):
    message = refusal(STOP.format(*stop) + SOURCE + body)
    for word in words:
        assert word in message


def test_a_stop_with_a_ceiling_is_accepted():
    text = job("e", 'use = "t.csv"') + job("m", 'use = "t.map"', "e")
    assert plan(STOP.format("m", ", max_candidates = 9") + text).campaign.stop.kept == 5
    assert plan(STOP.format("m", ", max_node_hours = 0.5") + text)
    assert plan(STOP.format("s", "") + SOURCE)


def test_a_request_that_no_node_can_meet_is_refused_at_once():
    offers = [
        ("a", Resources(cores=2, memory_gib=4.0)),
        ("b", Resources(cores=8)),
    ]
    text = SOURCE + job("p", 'use = "t.program"', "s")
    assert plan(text, offers=offers).job("p").request == (Resources(cores=4),)
    message = refusal(text.replace('t.program"', 't.program"\npool = "a"'), offers=offers)
    assert "job.use: no node of pool a can run it: it asks for 4 cores (the most is 2)" in message
    message = refusal(text.replace('t.program"', 't.program"\npool = "z"'), offers=offers)
    assert "there is no pool z" in message
    wide = text.replace(
        't.program"', 't.program"\nresources = { memory_gib = 8, or = { gpus = 1 } }'
    )
    message = refusal(wide, offers=offers)
    assert "job.resources" in message
    assert "8 GiB of memory (the most is 4); or 1 gpus (the most is 0)" in message


def test_jobs_that_have_numbers_keep_them():
    text = SOURCE + job("a", 'use = "t.map"', "s") + job("z", 'use = "t.map"', "a")
    first = [j.name for j in plan(text).jobs]
    assert first == ["s", "a", "z"]
    longer = SOURCE + job("new", 'use = "t.map"', "s") + text.removeprefix(SOURCE)
    assert [j.name for j in plan(longer, first=first).jobs] == ["s", "a", "z", "new"]


def test_the_digest_names_what_is_run_and_not_how_it_is_written():
    one = plan(SOURCE + job("m", 'use = "t.map"', "s"))
    other = plan("# more\n" + SOURCE + job("m", 'use = "t.map"\nparams = { cutoff = 0.5 }', "s"))
    changed = plan(SOURCE + job("m", 'use = "t.map"\nparams = { cutoff = 0.6 }', "s"))
    assert one.digest == other.digest != changed.digest
    assert one.text != other.text
