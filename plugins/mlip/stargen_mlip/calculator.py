"""`mlip.relax` and `mlip.static`: candidates through a pretrained potential."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from stargen import Candidate, Context, Crystal, Drop
from stargen.codec import pack_bulk, unpack_bulk
from stargen.crystal import Scalar, decode_entry, encode_entry
from stargen_mlip.info import SCHEMES, RelaxParams, StaticParams
from stargen_mlip.potential import Chgnet, Evaluation, NotEvaluableError
from stargen_mlip.relaxation import Relaxation

_EV_PER_ANG3_IN_GPA = 160.21766208


class Static:
    """Energy, forces and stress as they are. Drops: not evaluable."""

    def open(self, context: Context) -> None:
        self._potential = _load(context)

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterable[Candidate | Drop]:
        params: StaticParams = context.params
        for done, candidate in enumerate(candidates):
            try:
                evaluation = self._potential.evaluate(candidate.crystal)
            except NotEvaluableError as error:
                yield candidate.drop("not evaluable", str(error))
            else:
                yield candidate.with_(
                    data={
                        "forces_ev_per_ang": evaluation.forces,
                        "stress_gpa": evaluation.stress * _EV_PER_ANG3_IN_GPA,
                    },
                    **_properties(candidate.crystal, evaluation, params.model),
                )
            context.progress(done + 1, len(candidates))

    def close(self) -> None:
        del self._potential


class Relax:
    """Down to the nearest minimum. Drops: not evaluable, exploded, not converged.

    A checkpoint holds the finished candidates of the batch and the whole state of the one at hand,
    so that an interrupted task goes on from its last step and ends as if it had not been. When the
    node asks to stop, the state is saved and the rest of the batch left to the next attempt.
    """

    def open(self, context: Context) -> None:
        self._potential = _load(context)

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterable[Candidate | Drop]:
        params: RelaxParams = context.params
        finished, going = _resume(context)
        for at, candidate in enumerate(candidates):
            if at < len(finished):
                yield _thaw(finished[at])
                continue
            relaxation = Relaxation.start(candidate.crystal, params.optimizer, cell=params.cell)
            if going is not None:
                relaxation = Relaxation.restored(going, params.optimizer, cell=params.cell)
                going = None
            result = self._relax(candidate, relaxation, finished, len(candidates), context)
            if result is None:
                return
            yield result
            finished.append(_freeze(result))

    def close(self) -> None:
        del self._potential

    def _relax(
        self,
        candidate: Candidate,
        relaxation: Relaxation,
        finished: list[Any],
        total: int,
        context: Context,
    ) -> Candidate | Drop | None:
        """The candidate's fate; None if the task is to stop first."""
        params: RelaxParams = context.params
        while True:
            try:
                evaluation = self._potential.evaluate(relaxation.crystal)
            except NotEvaluableError as error:
                reason = "exploded" if relaxation.steps else "not evaluable"
                return candidate.drop(reason, f"after {relaxation.steps} steps: {error}")
            ratio = relaxation.volume_ratio
            if not 1 / params.max_volume_ratio <= ratio <= params.max_volume_ratio:
                return candidate.drop(
                    "exploded", f"volume x {ratio:.2f} after {relaxation.steps} steps"
                )
            forces = relaxation.forces(evaluation)
            largest = float(np.linalg.norm(forces, axis=1).max())
            converged = largest < params.fmax
            if converged or relaxation.steps >= params.steps:
                return _fate(candidate, relaxation, evaluation, largest, params)
            stop = context.stop_requested
            if stop or (relaxation.steps and relaxation.steps % params.checkpoint_every == 0):
                context.checkpoint(pack_bulk({"finished": finished, "going": relaxation.state()}))
            if stop:
                return None
            relaxation.move(forces)
            part = min(relaxation.steps / params.steps, 1.0)
            context.progress(len(finished) + part, total)


def _fate(
    candidate: Candidate,
    relaxation: Relaxation,
    evaluation: Evaluation,
    largest: float,
    params: RelaxParams,
) -> Candidate | Drop:
    converged = largest < params.fmax
    if not converged and params.unconverged == "drop":
        return candidate.drop("not converged", f"{largest:.3f} eV/Å after {relaxation.steps} steps")
    reached = relaxation.crystal
    crystal = Crystal.of(reached.lattice, reached.frac_coords % 1.0, reached.numbers)
    return candidate.with_(
        crystal,
        volume_ratio=relaxation.volume_ratio,
        relax_steps=relaxation.steps,
        converged=converged,
        **_properties(crystal, evaluation, params.model),
    )


def _properties(crystal: Crystal, evaluation: Evaluation, model: str) -> dict[str, Scalar]:
    return {
        "energy_per_atom": evaluation.energy / crystal.n_atoms,
        "energy_scheme": SCHEMES[model],
        "max_force": evaluation.max_force,
        "volume_per_atom": crystal.volume / crystal.n_atoms,
    }


def _load(context: Context) -> Chgnet:
    params: RelaxParams | StaticParams = context.params
    device = f"cuda:{context.devices[0]}" if context.devices else "cpu"
    return Chgnet(params.model, device=device, threads=context.resources.cores)


def _resume(context: Context) -> tuple[list[Any], dict[str, Any] | None]:
    state = context.resume()
    if state is None:
        return [], None
    saved = unpack_bulk(state)
    return saved["finished"], saved["going"]


def _freeze(result: Candidate | Drop) -> Any:
    return tuple(result) if isinstance(result, Drop) else encode_entry(result)


def _thaw(frozen: Any) -> Candidate | Drop:
    return decode_entry(frozen) if isinstance(frozen, bytes) else Drop(*frozen)
