"""What is known of `crysformer.predict` before torch is imported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from stargen.calculators.contract import CalculatorInfo
from stargen.crystal import Envelope
from stargen.model import Request, Resources
from stargen.typed import Bounds

MEMBER_FILES = "member-*.npz"
COMPOSITION_FILE = "composition.npz"
CALIBRATION_FILE = "calibration.json"
SHIPPED = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class PredictParams:
    """Parameters of `crysformer.predict`.

    Parameters
    ----------
    weights : an ensemble that comes with the package, or a folder that `stargen train crysformer`
        made, relative to the campaign file
    coverage : probability that an interval holds the true value
    """

    weights: str = "mp20-ensemble"
    coverage: Annotated[float, Bounds(above=0, most=0.99)] = 0.9


def folder_of(weights: str, base: Path) -> Path:
    """Where an ensemble lies: in the package by name, else relative to `base`."""
    shipped = SHIPPED / weights
    return shipped if "/" not in weights and shipped.is_dir() else base / weights


def short_name(target: str) -> str:
    """What a target's predictions are called: ``formation_energy`` of
    ``formation_energy_per_atom``.
    """
    return target.removesuffix("_per_atom")


def problem_with(weights: str, folder: Path) -> str | None:
    """Why a folder cannot be an ensemble, in words; nothing is read."""
    if any(folder.glob(MEMBER_FILES)):
        return None
    shipped = sorted(path.name for path in SHIPPED.glob("*") if any(path.glob(MEMBER_FILES)))
    known = (
        f"those that come with the package: {', '.join(shipped)}"
        if shipped
        else ("no weights come with this version of the package")
    )
    what = "has no member-*.npz" if folder.is_dir() else "is neither a folder nor a name"
    return (
        f"weights {weights!r} {what} ({known}); train them with "
        '`stargen train crysformer DATA --output FOLDER` and write weights = "FOLDER"'
    )


def _check(params: PredictParams, folder: Path) -> Iterable[str]:
    problem = problem_with(params.weights, folder_of(params.weights, folder))
    if problem is not None:
        yield problem


def _reads(params: PredictParams) -> Iterable[str]:
    """What judges the members names them by digest; shipped weights change with the package."""
    if folder_of(params.weights, Path()) == Path(params.weights):
        yield f"{params.weights}/{CALIBRATION_FILE}"


def _resources(params: PredictParams, envelope: Envelope | None) -> Request:
    return (
        Resources(cores=1, gpus=1, memory_gib=2.0),
        Resources(cores=1, memory_gib=1.5),
    )


predict = CalculatorInfo(
    name="crysformer.predict",
    api=1,
    factory="stargen_crysformer.calculator:Predict",
    params=PredictParams,
    resources=_resources,
    affinity=lambda params: f"crysformer-{params.weights}",
    check=_check,
    reads=_reads,
    properties=(
        *(
            f"{target}_{what}"
            for target in ("formation_energy", "band_gap")
            for what in ("pred", "std", "low", "high")
        ),
        "energy_scheme_pred",
        "prediction_doubtful",
        "prediction_doubts",
        "*",  # weights may predict anything that they were trained for
    ),
    summary="formation energy and band gap with uncertainty by Crysformer",
    source="Star-gen: an HPC-AI framework for constructing large-scale computational materials "
    "database, CCF Trans. HPC (2025)",
)
