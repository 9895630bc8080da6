import os

from stargen.machine import this_machine


def test_this_machine_has_what_this_process_may_use(tmp_path):
    found = this_machine(tmp_path, {})
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.memory_gib > 0.1
    assert found.gpus >= 0


def test_hidden_gpus_do_not_count(tmp_path):
    assert this_machine(tmp_path, {"CUDA_VISIBLE_DEVICES": ""}).gpus == 0
    assert this_machine(tmp_path, {"CUDA_VISIBLE_DEVICES": "-1"}).gpus == 0
