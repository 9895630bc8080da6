"""What the calculators are: everything that must be known before torch is imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from stargen.calculators.contract import API_VERSION, CalculatorInfo
from stargen.crystal import Envelope
from stargen.elements import ATOMIC_NUMBERS
from stargen.model import Chemistry, Request, Resources, Shape
from stargen.typed import Bounds
from stargen_diffusion.sizes import BLOCK, steer_sizes
from stargen_diffusion.weights import missing

Count = Annotated[int, Bounds(least=1)]
Share = Annotated[float, Bounds(least=0, most=1)]
NotNegative = Annotated[float, Bounds(least=0)]
Positive = Annotated[float, Bounds(above=0)]

PAPER = "arXiv:2309.04475"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """What `diffusion.sample` and `diffusion.predict` have in common.

    Parameters
    ----------
    steps : of the predictor; 1000 is the reference
    correctors : further network calls a step, for the coordinates
    gamma : size of the corrector's step, as the paper counts it
    anneal : how much harder scores pull towards the end; 0 is the reference
    checkpoint_every : steps between checkpoints
    """

    steps: Count = 50
    correctors: Annotated[int, Bounds(least=0)] = 1
    gamma: NotNegative = 5e-6
    anneal: NotNegative = 0.0
    checkpoint_every: Count = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleParams(SamplingParams):
    """Parameters of `diffusion.sample`.

    Parameters
    ----------
    count : how many to make
    weights : shipped ones by name, or a file
    size : number of atoms as in the data, uniformly at random, or as in the data until fewer than
        `switch_below` of the candidates get through `valid_job`
    max_atoms : of crystals of random size; None for the largest of the data
    valid_job : the job that counts as a judge for `data-then-random`
    switch_below : see `size`; counted over all candidates so far, so above the share at which
        the newest ones do worse than random sizes would
    random_share : part of the crystals that have random sizes; steering sets it
    temperature : below 1 the likelier elements are taken more often; only for masked types
    charged_only : no elements without known oxidation states, which no charge filter lets through
    balanced : elements are drawn given that `filters.charge` will let the composition through, as
        far as draws of what is still hidden tell; only for masked types
    """

    count: Count = 1000
    weights: str = "mp20-small"
    size: Literal["data", "random", "data-then-random"] = "data"
    max_atoms: Count | None = None
    valid_job: str | None = None
    switch_below: Share = 0.35
    random_share: Share = 0.0
    temperature: Positive = 1.0
    charged_only: bool = False
    balanced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictParams(SamplingParams):
    """Parameters of `diffusion.predict`; the composition is that of the candidate's cell.

    Parameters
    ----------
    weights : shipped ones by name, or a file
    samples : structures to make of each composition
    """

    weights: str = "mp20-medium-csp"
    samples: Count = 1
    gamma: NotNegative = 1e-5
    anneal: NotNegative = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeParams:
    """Parameters of `diffusion.compose`.

    Parameters
    ----------
    count : how many compositions to propose
    existing : what is there already: a CSV (`.gz` too) with a column `reduced_formula` or `formula`
        and perhaps `n_atoms`, or the URL of a Star-gen database
    elements : wanted weight of each element, by symbol; if empty all that the chemistry admits
    n_elements : wanted weight of each number of elements, `{ 2 = 1, 3 = 2 }`
    n_atoms : wanted weight of each number of atoms in the cell
    balance : 0 draws from what is wanted; 1 from what lacks, so that there is what is wanted once
        `count` more are there
    states : smact's set of oxidation states that makes compositions neutral
    volume_per_atom_ang3 : of the placeholder cell
    """

    count: Count = 1000
    existing: str | None = None
    elements: Mapping[str, float] = field(default_factory=dict[str, float])
    n_elements: Mapping[str, float] = field(default_factory=lambda: {"2": 1.0, "3": 2.0, "4": 1.0})
    n_atoms: Mapping[str, float] = field(
        default_factory=lambda: {str(n): 1.0 for n in range(2, 21)}
    )
    balance: Share = 1.0
    states: Literal["icsd24", "icsd16", "smact14", "wiki"] = "icsd24"
    volume_per_atom_ang3: Positive = 15.0


def _check_sample(params: SampleParams, folder: Path) -> Iterator[str]:
    if problem := missing(params.weights, folder):
        yield problem
    if params.size == "data-then-random" and params.valid_job is None:
        yield 'size = "data-then-random" needs valid_job, the job whose candidates count as valid'


def _check_predict(params: PredictParams, folder: Path) -> Iterator[str]:
    if problem := missing(params.weights, folder):
        yield problem


def _check_compose(params: ComposeParams, folder: Path) -> Iterator[str]:
    for symbol in params.elements:
        if symbol not in ATOMIC_NUMBERS:
            yield f"elements: there is no element {symbol}"
    for name in ("n_elements", "n_atoms"):
        wanted: Mapping[str, float] = getattr(params, name)
        if bad := [key for key in wanted if not key.isdecimal() or int(key) < 1]:
            yield f"{name}: {', '.join(bad)} is no number of {name.removeprefix('n_')}"
    for name in ("elements", "n_elements", "n_atoms"):
        weights = getattr(params, name)
        if any(weight < 0 for weight in weights.values()):
            yield f"{name}: weights must not be negative"
        elif (name != "elements" or weights) and not any(weights.values()):
            yield f"{name}: no weight is above 0"
    path = params.existing
    if path is not None and "://" not in path and not (folder / Path(path).expanduser()).is_file():
        yield f"existing = {path} does not exist"


def _check_required(params: SampleParams, chemistry: Chemistry) -> Iterator[str]:
    limit = chemistry.max_elements
    if limit is not None and len(chemistry.require) > limit:
        yield f"{len(chemistry.require)} elements are required, and at most {limit} allowed"


def _resources(params: SampleParams | PredictParams, envelope: Envelope | None) -> Request:
    return (Resources(cores=1, gpus=1, memory_gib=2), Resources(cores=1, memory_gib=1.5))


def _weights(params: SampleParams | PredictParams) -> str:
    return f"diffusion-{params.weights}"


def _file(params: SampleParams | PredictParams) -> tuple[str, ...]:
    return (params.weights,) if params.weights.endswith(".npz") else ()


def _existing(params: ComposeParams) -> tuple[str, ...]:
    path = params.existing
    return () if path is None or "://" in path else (path,)


sample = CalculatorInfo(
    name="diffusion.sample",
    api=API_VERSION,
    factory="stargen_diffusion.calculators:Sample",
    shape=Shape.SOURCE,
    params=SampleParams,
    resources=_resources,
    affinity=_weights,
    grain=4 * BLOCK,
    total=lambda params: params.count,
    check=_check_sample,
    check_chemistry=_check_required,
    properties=("generator",),
    reads=_file,
    checkpoint="state",
    reuse="seeded",
    steer=steer_sizes,
    summary="Crystals from noise: elements, cell and positions together",
    source=PAPER,
)

predict = CalculatorInfo(
    name="diffusion.predict",
    api=API_VERSION,
    factory="stargen_diffusion.calculators:Predict",
    params=PredictParams,
    fan_out=lambda params: params.samples,
    resources=_resources,
    affinity=_weights,
    grain=64,
    check=_check_predict,
    properties=("generator",),
    reads=_file,
    checkpoint="state",
    reuse="seeded",
    summary="Cell and positions for a given composition",
    source=PAPER,
)

compose = CalculatorInfo(
    name="diffusion.compose",
    api=API_VERSION,
    factory="stargen_diffusion.compose:Compose",
    shape=Shape.SOURCE,
    params=ComposeParams,
    total=lambda params: params.count,
    check=_check_compose,
    reads=_existing,
    reuse="seeded",
    summary="Charge-neutral compositions that a database lacks, as placeholders to predict",
    source="10.1016/j.chempr.2016.09.010",
)
