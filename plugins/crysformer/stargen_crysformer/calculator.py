"""`crysformer.predict`: candidates through an ensemble of networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from stargen_training.weights import WeightsError

from stargen import Candidate, Context, Drop
from stargen.crystal import Scalar
from stargen.errors import UserTaskError
from stargen_crysformer.ensemble import Ensemble
from stargen_crysformer.info import PredictParams, folder_of, problem_with, short_name

_AT_ONCE = 256


class Predict:
    """Adds predictions, their intervals, and doubts. Drops: not predictable.

    For each target that the weights know, ``formation_energy_per_atom`` say, there are
    ``formation_energy_pred``, ``_std`` (68 % of true values lie within), ``_low`` and ``_high``.
    ``energy_scheme_pred`` tells which networks energies are of, so that they meet no others.
    """

    def open(self, context: Context) -> None:
        params: PredictParams = context.params
        torch.set_num_threads(max(int(context.resources.cores), 1))
        folder = folder_of(params.weights, context.input_file("."))
        problem = problem_with(params.weights, folder)
        if problem is not None:
            raise UserTaskError(problem)
        try:
            self._ensemble = Ensemble.load(folder)
        except WeightsError as error:
            raise UserTaskError(str(error)) from error
        if context.devices:
            self._ensemble.to(f"cuda:{context.devices[0]}")

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterable[Candidate | Drop]:
        for at in range(0, len(candidates), _AT_ONCE):
            part = candidates[at : at + _AT_ONCE]
            yield from self._predict(part, context.params.coverage)
            context.progress(at + len(part), len(candidates))

    def close(self) -> None:
        del self._ensemble

    def _predict(
        self, candidates: Sequence[Candidate], coverage: float
    ) -> Iterable[Candidate | Drop]:
        graphs = self._ensemble.graphs([candidate.crystal for candidate in candidates])
        usable = graphs.usable
        rows = np.flatnonzero(usable)
        if len(rows):
            predictions = self._ensemble.predict(graphs.take(rows), coverage)
            shortest = graphs.shortest_ang
        place = np.cumsum(usable) - 1
        for number, candidate in enumerate(candidates):
            if not usable[number]:
                detail = "two atoms in one place, or a cell without volume"
                yield candidate.drop("not predictable", detail)
                continue
            at = place[number]
            told: dict[str, Scalar] = {}
            for t, target in enumerate(self._ensemble.targets):
                name = short_name(target)
                told[f"{name}_pred"] = float(predictions.values[at, t])
                told[f"{name}_std"] = float(predictions.std[at, t])
                told[f"{name}_low"] = float(predictions.low[at, t])
                told[f"{name}_high"] = float(predictions.high[at, t])
            doubts = self._ensemble.doubts(
                candidate.crystal, float(shortest[number]), bool(predictions.usual[at])
            )
            if any("energy" in target for target in self._ensemble.targets):
                told["energy_scheme_pred"] = self._ensemble.energy_scheme
            told["prediction_doubtful"] = bool(doubts)
            told["prediction_doubts"] = "; ".join(doubts) or None
            yield candidate.with_(**told)
