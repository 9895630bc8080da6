import json
import zipfile

import numpy as np
import pytest
from stargen_training.weights import Weights, WeightsError, read_weights, write_weights


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    arrays = {"a.weight": rng.normal(size=(3, 4)).astype(np.float32), "n": np.arange(5)}
    return Weights("line", {"width": 3}, arrays, "digest", {"mae": 0.5})


def test_they_come_back(weights, tmp_path):
    path = tmp_path / "w.npz"
    write_weights(path, weights)
    found = read_weights(path, "line")
    assert (found.kind, found.config, found.data, found.notes) == (
        "line",
        {"width": 3},
        "digest",
        {"mae": 0.5},
    )
    assert set(found.arrays) == {"a.weight", "n"}
    assert np.array_equal(found.arrays["a.weight"], weights.arrays["a.weight"])
    with np.load(path) as plain:  # numpy reads it too
        assert np.array_equal(plain["n"], np.arange(5))


def test_the_same_content_is_the_same_bytes(weights, tmp_path):
    for name in ("one", "two"):
        write_weights(tmp_path / name, weights)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_half_as_large_and_nearly_the_same(weights, tmp_path):
    write_weights(tmp_path / "w", weights, half=True)
    found = read_weights(tmp_path / "w", "line").arrays
    assert found["a.weight"].dtype == np.float32
    assert np.allclose(found["a.weight"], weights.arrays["a.weight"], rtol=1e-3)
    assert np.array_equal(found["n"], np.arange(5))


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_truncated(weights, tmp_path, part):
    path = tmp_path / "w.npz"
    write_weights(path, weights)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(WeightsError, match=r"w\.npz: no file of weights, or a truncated"):
        read_weights(path, "line")


def test_a_flipped_bit(weights, tmp_path):
    path = tmp_path / "w.npz"
    write_weights(path, weights)
    content = bytearray(path.read_bytes())
    at = content.index(weights.arrays["a.weight"].tobytes()) + 5
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        read_weights(path, "line")


def test_foreign_files(weights, tmp_path):
    path = tmp_path / "w.npz"
    with pytest.raises(WeightsError, match="is a folder; name the file"):
        read_weights(tmp_path, "line")
    with pytest.raises(WeightsError, match="no such file"):
        read_weights(path, "line")
    np.savez(path, a=np.ones(3))
    with pytest.raises(WeightsError, match="not one of Star-gen's"):
        read_weights(path, "line")
    write_weights(path, weights)
    with pytest.raises(WeightsError, match="weights of line, not of curve"):
        read_weights(path, "curve")


def test_another_form_and_a_missing_array(tmp_path):
    path = tmp_path / "w.npz"
    header = {"format": 2, "kind": "line", "config": {}, "data": "", "notes": {}, "arrays": ["a"]}
    for form, told in (
        (2, "written in form 2, this version reads 1"),
        (1, r"incomplete: .*a\.npy"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("stargen.json", json.dumps({**header, "format": form}))
        with pytest.raises(WeightsError, match=told):
            read_weights(path, "line")
