"""What those who look get: new samples, broken links, and more of what they look at."""

import time
from types import SimpleNamespace

from stargen.master.loads import load_json, looked, unpack_loads
from stargen.messages import Load, RunningTask

RUNNING = RunningTask(0, 1, 2, 3, 4.0, 5.0, 6.0, 7.0)


class Nodes:
    """Two nodes with samples of two moments; a third has none."""

    def __init__(self):
        first = Load(10.0, 1.0, 2.0, 3.0, 0, [RUNNING], celsius=50.0, cores=[10.0])
        second = Load(20.0, 1.0, 2.0, 3.0, 0, [])
        self.keepers = {
            "a": SimpleNamespace(load=first, load_at=5.0, connected=True, silent_s=0.5),
            "b": SimpleNamespace(load=second, load_at=9.0, connected=True, silent_s=0.2),
            "c": SimpleNamespace(load=None, load_at=0.0, connected=False, silent_s=None),
        }
        self.looks = []

    def look(self, at, task):
        self.looks.append((list(at), task))


def test_all_samples_come_first_and_then_the_new_ones():
    nodes = Nodes()
    first = looked(nodes, 0.0, [], None)
    samples = {name: nodes.keepers[name].load for name in "ab"}
    assert unpack_loads(first["loads"]) == {n: load_json(load) for n, load in samples.items()}
    assert first["unlinked"] == ["c"]
    assert first["at"] <= time.monotonic()
    assert list(unpack_loads(looked(nodes, 6.0, [], None)["loads"])) == ["b"]
    assert nodes.looks == [([], None), ([], None)]


def test_of_a_node_that_is_looked_at_more_is_told():
    nodes = Nodes()
    answer = looked(nodes, 99.0, ["a"], [0, 1])
    loads = unpack_loads(answer["loads"])
    assert list(loads) == ["a"]
    assert loads["a"]["running"] == [RUNNING._asdict()]
    assert loads["a"]["cores"] == [10.0]
    assert answer["silent_s"] == {"a": 0.5}
    assert loads["a"]["tasks"] == {(0, 1)}
    assert "tasks" not in unpack_loads(looked(nodes, 0.0, [], None)["loads"])["a"]
    assert nodes.looks[0] == (["a"], [0, 1])


def test_of_several_nodes_only_which_tasks_run_is_told():
    loads = unpack_loads(looked(Nodes(), 0.0, ["a", "b"], None)["loads"])
    assert [loads[name]["tasks"] for name in "ab"] == [{(0, 1)}, set()]
    assert not {"running", "cores", "said"} & {*loads["a"], *loads["b"]}
