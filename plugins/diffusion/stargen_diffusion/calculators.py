"""`diffusion.sample` and `diffusion.predict`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stargen import Candidate, Context, Drop
from stargen.codec import pack_bulk, unpack_bulk
from stargen.errors import UserError, UserTaskError
from stargen_diffusion.config import N_TYPES
from stargen_diffusion.info import PredictParams, SampleParams, SamplingParams
from stargen_diffusion.making import Interrupted, Made, Order, Refused, Workshop
from stargen_diffusion.model import Model, load_model
from stargen_diffusion.oxidation import Balance, charged_elements
from stargen_diffusion.revealing import Palette
from stargen_diffusion.sampling import Plan, Sampler
from stargen_diffusion.sizes import Sizes
from stargen_diffusion.weights import missing, weights_file


class Sample:
    """Source: Jiao et al. 2023, DiffCSP. Stillborn: no cell, no volume, outside the chemistry."""

    def open(self, context: Context) -> None:
        params: SampleParams = context.params
        self._model = _load(params.weights, context)
        if self._model.config.types == "known":
            raise UserTaskError(f"weights {params.weights} need a composition: diffusion.predict")
        possible = np.ones(N_TYPES, dtype=bool)
        if params.charged_only:
            possible = charged_elements()
        rule = Balance() if params.balanced else None
        self._palette = Palette.of(context.chemistry, possible, rule)
        if not self._palette.allowed.any():
            raise UserTaskError("the chemistry admits no element")
        self._start = float(context.rng("sizes").random())

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate | Drop]:
        params: SampleParams = context.params
        sizes = Sizes(
            self._model.statistics.n_atoms,
            self._start,
            max_atoms=params.max_atoms,
            random_share=1.0 if params.size == "random" else params.random_share,
        )
        fewest = len(self._palette.required)
        orders = [
            Order(max(sizes.of(o), fewest), partial(context.rng, o), self._palette)
            for o in context.ordinals
        ]
        plan = replace(_plan(params), temperature=params.temperature)
        made = _make(self._model, plan, orders, context)
        for ordinal, result in zip(context.ordinals, made, strict=False):
            if isinstance(result, Refused):
                yield context.stillborn(ordinal, result.reason, result.detail)
            else:
                yield context.birth(ordinal, result, generator=params.weights)

    def close(self) -> None:
        del self._model


class Predict:
    """Source: as `Sample`, with the types fixed. Drops: no cell, no volume."""

    def open(self, context: Context) -> None:
        params: PredictParams = context.params
        self._model = _load(params.weights, context)
        if self._model.config.types != "known":
            raise UserTaskError(f"weights {params.weights} choose elements: diffusion.sample")

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate | Drop]:
        params: PredictParams = context.params
        palette = Palette(np.ones(N_TYPES, dtype=bool))
        orders = [
            Order(
                candidate.crystal.n_atoms,
                partial(context.rng, candidate.candidate_id, k),
                palette,
                candidate.crystal.numbers.astype(np.int64) - 1,
            )
            for candidate in candidates
            for k in range(params.samples)
            if candidate.crystal.numbers.max() <= N_TYPES
        ]
        made = iter(_make(self._model, _plan(params), orders, context))
        for candidate in candidates:
            if candidate.crystal.numbers.max() > N_TYPES:
                yield candidate.drop("element unknown to the network")
                continue
            results = [result for _, result in zip(range(params.samples), made, strict=False)]
            yield from _fates(candidate, results, params.weights)

    def close(self) -> None:
        del self._model


def _fates(
    candidate: Candidate, results: Sequence[Made], weights: str
) -> Iterator[Candidate | Drop]:
    """The structures of a composition; one verdict if there is none."""
    refused = [result for result in results if isinstance(result, Refused)]
    if refused and len(refused) == len(results):
        yield candidate.drop(refused[0].reason, refused[0].detail)
    for result in results:
        if not isinstance(result, Refused):
            yield candidate.with_(result, generator=weights)


def _plan(params: SamplingParams) -> Plan:
    return Plan(params.steps, params.correctors, params.gamma, anneal=params.anneal)


def _make(model: Model, plan: Plan, orders: Sequence[Order], context: Context) -> Sequence[Made]:
    """What became of the orders; nothing if the task was asked to stop, its state then kept."""
    params: SamplingParams = context.params

    def told(done: int, total: int) -> bool:
        context.progress(done, total)
        return context.stop_requested

    def keep(state: dict[str, Any]) -> None:
        context.checkpoint(pack_bulk(state))

    workshop = Workshop(
        Sampler(model, plan), after_step=told, keep=keep, keep_every=params.checkpoint_every
    )
    saved = context.resume()
    try:
        return workshop.make(orders, None if saved is None else unpack_bulk(saved))
    except Interrupted:
        return ()


def _load(name: str, context: Context) -> Model:
    folder = context.input_file(".")
    if problem := missing(name, Path(folder)):
        raise UserTaskError(problem)
    torch.set_num_threads(context.resources.cores)
    device = f"cuda:{context.devices[0]}" if context.devices else "cpu"
    try:
        return load_model(weights_file(name, Path(folder))).for_sampling(device)
    except UserError as error:
        raise UserTaskError(str(error)) from error
