import pytest

from stargen.devices import first_gpus, gpus_here


@pytest.fixture
def nvidia(tmp_path):
    """Four devices, and files that are none."""
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def amd(tmp_path):
    """A processor and two devices, as ROCm's driver lists them."""
    for number, gpu_id in enumerate((0, 51110, 51112)):
        node = tmp_path / str(number)
        node.mkdir()
        (node / "gpu_id").write_text(f"{gpu_id}\n")
    return tmp_path


def test_all_devices_are_seen_where_nothing_hides_them(nvidia, tmp_path):
    gpus = gpus_here({}, nvidia, tmp_path / "none")
    assert len(gpus) == 4
    assert gpus.shown((1, 3))["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert gpus.shown(())["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("2,3", {2: "2", 3: "3"}),
        ("GPU-8f1, GPU-c20", {0: "GPU-8f1", 1: "GPU-c20"}),
        ("MIG-77", {0: "MIG-77"}),
        ("", {}),
        ("-1", {}),
        ("NoDevFiles", {}),
    ],
)
def test_the_environment_hides_and_names_devices(nvidia, tmp_path, visible, names):
    gpus = gpus_here({"CUDA_VISIBLE_DEVICES": visible}, nvidia, tmp_path / "none")
    assert gpus.names == names
    assert gpus.shown(tuple(names))["CUDA_VISIBLE_DEVICES"] == ",".join(names.values())


def test_amds_runtime_counts_anew_what_is_left(amd, tmp_path):
    gpus = gpus_here({}, tmp_path / "none", amd)
    assert (gpus.vendor, len(gpus)) == ("amd", 2)
    assert gpus.shown((1,)) == {
        "ROCR_VISIBLE_DEVICES": "1",
        "HIP_VISIBLE_DEVICES": "0",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    assert gpus.shown(())["HIP_VISIBLE_DEVICES"] == "-1"
    assert gpus_here({"ROCR_VISIBLE_DEVICES": "1"}, tmp_path / "none", amd).names == {1: "1"}


def test_a_machine_without_devices_has_none_whatever_is_said(tmp_path):
    assert len(gpus_here({"CUDA_VISIBLE_DEVICES": "0"}, tmp_path, tmp_path)) == 0


def test_made_up_numbers_come_behind_those_that_are_known():
    assert first_gpus(2, {"CUDA_VISIBLE_DEVICES": "1"}) == (1, 0)
    assert first_gpus(1, {"CUDA_VISIBLE_DEVICES": "2,3"}) == (2,)
