"""A calculator tried in this process: the Context of tests, and one call that does it all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

from stargen.calculators.context import BaseContext
from stargen.calculators.contract import Calculator, CalculatorInfo
from stargen.calculators.registry import make
from stargen.calculators.steps import Batch, LoadedStep, run_steps
from stargen.crystal import Candidate
from stargen.errors import BadResult, StargenError
from stargen.model import Chemistry, Resources


class Flaw(NamedTuple):
    """One way in which a calculator breaks the contract."""

    rule: str
    problem: str


class LocalContext(BaseContext):
    """A Context that remembers what it is told.

    Parameters
    ----------
    params : the step's parameters
    state : what `resume` gives: the last checkpoint of an earlier attempt
    """

    def __init__(
        self,
        params: Any = None,
        *,
        job: str = "job",
        use: str = "plugin.verb",
        seed: int = 0,
        chemistry: Chemistry | None = None,
        input_folder: Path | None = None,
        resources: Resources | None = None,
        state: bytes | None = None,
    ) -> None:
        super().__init__(
            job=job,
            use=use,
            params=params,
            seed=seed,
            chemistry=chemistry or Chemistry(),
            input_folder=input_folder or Path.cwd(),
        )
        self.resources = resources or Resources()
        self.state = state
        self.stopping = False
        self.told: list[tuple[float, float]] = []
        """What `progress` was told."""
        self._scratch: TemporaryDirectory[str] | None = None
        self._shared: dict[str, TemporaryDirectory[str]] = {}

    def shared(self, key: str, make: Callable[[Path], None]) -> Path:
        if key not in self._shared:
            self._shared[key] = TemporaryDirectory(prefix="stargen-shared-")
            make(Path(self._shared[key].name))
        return Path(self._shared[key].name)

    @property
    def folder(self) -> Path:
        if self._scratch is None:
            self._scratch = TemporaryDirectory(prefix="stargen-")
        return Path(self._scratch.name)

    @property
    def stop_requested(self) -> bool:
        return self.stopping

    def progress(self, done: float, total: float) -> None:
        self.told.append((done, total))

    def checkpoint(self, state: bytes) -> None:
        self.state = state

    def resume(self) -> bytes | None:
        return self.state

    def clear(self) -> None:
        """Remove the scratch folder."""
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None


def failure(error: Exception) -> Flaw:
    """What a calculator raised, as a flaw."""
    name = "" if isinstance(error, StargenError) else f"{type(error).__name__}: "
    return Flaw("contract" if isinstance(error, BadResult) else "run", f"{name}{error}")


def run(
    info: CalculatorInfo,
    candidates: Sequence[Candidate] = (),
    *,
    context: LocalContext,
    ordinals: range = range(0),
    kept: Sequence[Candidate] = (),
) -> Batch:
    """Open a calculator, let it work on one batch with the contract checked, and close it.

    Parameters
    ----------
    ordinals : for a source
    kept : for a keyed calculator, what its keys have kept so far

    Raises
    ------
    BadResult : if it broke the contract
    Exception : whatever it raises
    """
    calculator = cast("Calculator", make(info))
    calculator.open(context)
    try:
        step = LoadedStep(info, "trial", calculator, context)
        batch = Batch(list(candidates), ordinals if not candidates else range(0))
        return run_steps([step], batch, kept=kept)
    finally:
        calculator.close()
        context.clear()
