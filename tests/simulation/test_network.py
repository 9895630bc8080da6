"""Whole campaigns over a bad network, with masters and agents that die and a disk that fills."""

from __future__ import annotations

from pathlib import Path

import pytest

from stargen.crystal import envelope_of
from stargen.model import Retries, SelectSpec, Shape
from tests.simulation.cluster import digest, job, plan
from tests.simulation.network import Network
from tests.simulation.reading import stream_of

TOTAL = 60
POISON = "make/17"


def _work(name: str, names: list[str], kept: list[str]) -> list[str] | None:
    if name == "map" and POISON in names:
        return None
    if name == "unique":
        have = {each[-1] for each in kept}
        return [each for each in names if each[-1] not in have][:1]
    return names


def _plan():
    few = Retries(calculation=1)
    return plan(
        job("make", shape=Shape.SOURCE, total=TOTAL, grain=2),
        job("map", "make", grain=3, buffer=20, retries=few),
        job("unique", "map", shape=Shape.KEYED, grain=1, key=lambda e: e.candidate_id[-1]),
        job("best", "map", select=SelectSpec(order_by="x", limit=5), rank=_number),
        job("end", "best", grain=None),
    )


def _number(envelope) -> float:
    return float(envelope.candidate_id.split("/")[1])


@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_network_does_each_candidate_comes_out_once(tmp_path: Path, seed: int):
    net = Network(_plan(), _work, {"n1": 2, "n2": 3}, tmp_path, seed)
    net.run(troubles=0.06, steps=1500)
    assert digest(net.replayed()) == digest(net.scheduler)
    net.fill_disk(False)
    ended = net.run(troubles=0.0, steps=20_000)
    assert ended is not None, {j.plan.name: len(j.tasks) for j in net.scheduler.state.jobs}
    assert ended.state == "done"
    names = [f"make/{n}" for n in range(TOTAL)]
    through = [name for name in names if name != POISON]

    def out(name: str) -> list[str]:
        places = stream_of(net.disk.log, net.plan, net.plan.job(name).index)
        return [envelope_of(net.disk.payloads[at]).candidate_id for at in places]

    assert sorted(out("make")) == sorted(names)
    assert sorted(out("map")) == sorted(through)
    first = {name[-1]: name for name in reversed(out("map"))}
    assert sorted(out("unique")) == sorted(first.values())
    assert sorted(out("end")) == sorted(out("best"))
    assert len(out("best")) == 5
