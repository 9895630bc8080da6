from stargen.calculators.contract import CalculatorInfo
from stargen.model import Shape
from stargen.scheduling.estimate import estimate
from stargen.scheduling.organizer import organize
from stargen.scheduling.parser import draft

INFOS = {
    "t.many": CalculatorInfo("t.many", 1, "m:f", shape=Shape.SOURCE, total=lambda p: 1005),
    "t.read": CalculatorInfo("t.read", 1, "m:f", shape=Shape.SOURCE),
    "t.map": CalculatorInfo("t.map", 1, "m:f", grain=100),
    "t.auto": CalculatorInfo("t.auto", 1, "m:f"),
    "t.eight": CalculatorInfo("t.eight", 1, "m:f", fan_out=lambda p: 8),
    "t.all": CalculatorInfo("t.all", 1, "m:f", shape=Shape.GATHER, reuse="never"),
}


def amounts(text, head=""):
    plan = organize(draft(f"[campaign]\nname = 'c'\n{head}\n{text}"), INFOS.__getitem__)
    return {e.job.name: (e.candidates, e.tasks) for e in estimate(plan)}


def job(name, body, *inputs):
    return f"[[job]]\nname = '{name}'\ninput = {list(inputs)}\n{body}\n"


def test_what_can_be_known_is_known():
    assert amounts(
        job("many", "use = 't.many'")
        + job("read", "use = 't.read'")
        + job("map", "use = 't.map'", "many")
        + job("auto", "use = 't.auto'", "map")
        + job("best", "select = { order_by = 'n_atoms', limit = 20 }", "auto")
        + job("few", "select = { order_by = 'n_atoms', limit = 20 }", "read")
        + job("wide", "select = { sample = 5000 }", "many")
        + job("unknown", "use = 't.map'", "read")
        + job("both", "use = 't.map'", "best", "few")
        + job("all", "use = 't.all'", "read")
        + job("more", "[[job.step]]\nuse = 't.map'\n[[job.step]]\nuse = 't.eight'", "best")
        + job("behind", "use = 't.map'", "more", "best")
        + job("each", "select = { sample = 1, per = 'formula' }", "many")
        + job("after", "use = 't.map'", "each")
    ) == {
        "many": (1005, None),
        "read": (None, None),
        "map": (1005, 11),
        "auto": (1005, None),
        "best": (1005, 0),
        "few": (None, 0),
        "wide": (1005, 0),
        "unknown": (None, None),
        "both": (40, 1),
        "all": (None, 1),
        "more": (20, 1),
        "behind": (180, 2),
        "each": (1005, 0),
        "after": (1005, 11),
    }


def test_a_ceiling_bounds_what_sources_make():
    stop = "stop = { job = 'map', kept = 10, max_candidates = 300 }"
    found = amounts(job("read", "use = 't.read'") + job("map", "use = 't.map'", "read"), stop)
    assert found == {"read": (300, None), "map": (300, 3)}
