import os

import pytest

from stargen.machine import end_of_allocation, this_machine


def test_this_machine_has_what_this_process_may_use(tmp_path):
    found = this_machine(tmp_path, {})
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.memory_gib > 0.1
    assert found.gpus >= 0


def test_hidden_gpus_do_not_count(tmp_path):
    assert this_machine(tmp_path, {"CUDA_VISIBLE_DEVICES": ""}).gpus == 0
    assert this_machine(tmp_path, {"CUDA_VISIBLE_DEVICES": "-1"}).gpus == 0


@pytest.mark.parametrize(
    ("environ", "ends_at"),
    [
        ({}, None),
        ({"SLURM_JOB_END_TIME": "1700000000"}, 1.7e9),
        ({"STARGEN_ENDS_AT": "17", "SLURM_JOB_END_TIME": "1700000000"}, 17.0),
        ({"STARGEN_ENDS_AT": "never"}, None),
    ],
)
def test_an_allocation_says_when_it_ends(environ, ends_at):
    assert end_of_allocation(environ) == ends_at
