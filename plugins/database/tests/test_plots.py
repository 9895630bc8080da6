import numpy as np
import pytest
from stargen_database.commands import app
from stargen_database.plots import draw, save
from stargen_database.queries import Found
from stargen_database.sink import DatabaseSink
from typer.testing import CliRunner

from stargen.errors import UserError

levels = pytest.importorskip("stargen_dft.levels")

WINDOW = (-6.0, 8.0)


def bands(spins=1, metal=False):
    """Two branches of three points; a full and an empty band with 1 eV between them."""
    kpoints = np.array([[x, 0, 0] for x in (0, 0.25, 0.5)] + [[0, x, 0] for x in (0.5, 0.25, 0)])
    curve = np.array([0.0, -0.5, -1.0, -1.0, -0.5, 0.0])
    both = np.stack([5.0 + curve, 6.0 - curve], axis=1)
    full = np.stack([np.ones(6), np.zeros(6)], axis=1)
    if metal:
        full[0, 0] = 0.0
    names = {0: "Γ", 2: "X", 3: "Y", 5: "Γ"}
    return levels.packed_bands(
        kpoints,
        np.stack([both] * spins),
        np.stack([full] * spins),
        np.eye(3),
        labels=names,
        starts=[0, 3],
        fermi_ev=5.4,
    )


def dos(spins=1):
    energies = np.arange(-10.0, 20.0, 0.1)
    density = np.ones((spins, len(energies)))
    return levels.packed_dos(energies, density, np.cumsum(density, axis=1), 5.4)


def drawn(kind, make, **data):
    found = Found("c", "make/7", "Si", 2, "dft", "kept", None, None, None, {"band_gap": 1.0})
    candidate = make("make/7", (14, 14)).with_(data=data)
    return draw(kind, found, candidate, WINDOW)


def test_bands_begin_anew_at_each_branch_and_start_from_the_valence_band(make):
    (axes,) = drawn("bands", make, bands_npz=bands()).axes
    curves = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert len(curves) == 2 * 2
    assert max(curves[0].get_ydata()) == 0.0
    assert [text.get_text() for text in axes.get_xticklabels()] == ["Γ", "X|Y", "Γ"]
    assert "valence band" in axes.get_ylabel()


def test_a_metal_is_drawn_from_its_fermi_energy(make):
    (axes,) = drawn("bands", make, bands_npz=bands(metal=True)).axes
    curves = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert max(curves[0].get_ydata()) == pytest.approx(5.0 - 5.4)
    assert "Fermi" in axes.get_ylabel()


def test_the_density_of_states_stands_beside_the_bands(make):
    left, right = drawn("bands", make, bands_npz=bands(2), dos_npz=dos(2)).axes
    assert left.get_ylim() == right.get_ylim() == WINDOW
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["spin up", "spin down"]
    up, down, *_ = right.lines
    assert max(up.get_xdata()) == 1.0
    assert min(down.get_xdata()) == -1.0


def test_only_the_window_is_drawn(make):
    (axes,) = drawn("dos", make, dos_npz=dos()).axes
    assert axes.get_xlim() == WINDOW
    energies = axes.lines[0].get_xdata()
    assert -6.0 <= min(energies) < -5.8
    assert 7.8 < max(energies) <= 8.0


def test_what_was_not_computed_is_not_drawn(make):
    with pytest.raises(UserError, match=r"(?s)no bands.*gpaw\.bands"):
        drawn("bands", make, dos_npz=dos())


def test_other_kinds_of_pictures_are_refused(make, tmp_path):
    with pytest.raises(UserError, match=r"\.pdf, \.png, \.svg"):
        save(drawn("dos", make, dos_npz=dos()), tmp_path / "picture.xyz")


@pytest.mark.parametrize(
    ("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_pictures_of_a_material_in_a_database(make, arrived, tmp_path, suffix, begins):
    url = f"sqlite:///{tmp_path}/results.db"
    sink = DatabaseSink(url, "test", {"make": []}, "run")
    data = {"bands_npz": bands(), "dos_npz": dos()}
    sink.write([arrived("make", make("make/7", (14, 14)).with_(data=data))], 1)
    sink.close()
    file = tmp_path / "pictures" / f"si.{suffix}"
    done = CliRunner().invoke(app, ["plot", "bands", "make/7", "-d", url, "-o", str(file)])
    assert done.exit_code == 0, done.output
    assert "bands of make/7 (Si)" in done.output
    assert file.read_bytes().startswith(begins)
