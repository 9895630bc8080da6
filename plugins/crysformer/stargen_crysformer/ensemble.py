"""Several networks as one: values, intervals, and whether they know what they speak of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from stargen_training.weights import WeightsError

from stargen import Crystal
from stargen.elements import SYMBOLS
from stargen.errors import UserError
from stargen.files import write_atomically
from stargen_crysformer.calibration import Calibration, features
from stargen_crysformer.composition import Composition
from stargen_crysformer.graphs import Graphs
from stargen_crysformer.info import CALIBRATION_FILE, COMPOSITION_FILE, MEMBER_FILES
from stargen_crysformer.learning import Learning, Member, latent_distances, outputs, read_member
from stargen_crysformer.scaling import bounded, errors, fractions_of

Floats = NDArray[np.float64]

FORMAT = 2
SHORTEST_ANG = 0.7
_MIDDLE = 0.68
_FEW = 50
"""Crystals; fewer do not calibrate a target that was calibrated before."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the members say of some crystals, before it is judged.

    Parameters
    ----------
    values : (n, targets), the members' weighted mean, in the targets' units
    spread, expected : (n, targets), standard deviation between members; error that they expect
    distance : (n,) from the training data, in the latent space
    """

    values: Floats
    spread: Floats
    expected: Floats
    distance: Floats


@dataclass(frozen=True, slots=True)
class Predictions:
    """Of some crystals, (n, targets) each; `usual` (n,) tells latents like the learnt."""

    values: Floats
    std: Floats
    low: Floats
    high: Floats
    usual: NDArray[np.bool_]


class Ensemble:
    """Members that learnt the same targets, and their calibration.

    Parameters
    ----------
    members : at least one
    calibration : one for each target
    parts : (targets,) what the member that sees composition alone counts, of 1
    """

    def __init__(
        self,
        members: Sequence[Member],
        calibration: Sequence[Calibration],
        parts: Floats,
        notes: Mapping[str, Any],
    ) -> None:
        self.members, self.calibration, self.notes = list(members), list(calibration), notes
        self.parts = parts
        self.device = torch.device("cpu")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From the folder that a training made.

        Raises
        ------
        WeightsError : naming the file that is missing, damaged, or does not belong to the others
        """
        members = read_members(folder)
        path = folder / CALIBRATION_FILE
        try:
            told = json.loads(path.read_text("utf-8"))
            form, digests = told["format"], told["members"]
            calibration = [Calibration.from_plain(told["targets"][t]) for t in members[0].targets]
            parts = np.array([float(told["composition"][t]) for t in members[0].targets])
        except FileNotFoundError:
            raise WeightsError(
                "is missing: the ensemble was not calibrated", file=path, hint=_CALIBRATE
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"cannot be read: {error}", file=path, hint=_CALIBRATE) from error
        if form != FORMAT:
            raise WeightsError(f"has form {form}, this version reads {FORMAT}", file=path)
        if digests != [member.digest for member in members]:
            raise WeightsError("is of other members", file=path, hint=_CALIBRATE)
        return cls(members, calibration, parts, told["notes"])

    @property
    def targets(self) -> tuple[str, ...]:
        return self.members[0].targets

    @property
    def energy_scheme(self) -> str:
        """Which networks these energies are of, and what corrections those learnt."""
        together = "".join(member.digest for member in self.members).encode()
        digest = hashlib.blake2b(together, digest_size=4).hexdigest()
        return f"crysformer-{digest}/{self.notes.get('corrections') or 'unstated'}"

    @property
    def neighbours(self) -> int:
        return self.members[0].network.config.neighbours

    def to(self, device: str) -> None:
        """Compute there from now on."""
        self.device = torch.device(device)
        for member in self.members:
            member.network.to(self.device)

    def graphs(self, crystals: Sequence[Crystal]) -> Graphs:
        """Graphs as the members take them; not all may be usable."""
        return Graphs.of(crystals, self.neighbours)

    def predict(self, graphs: Graphs, coverage: float) -> Predictions:
        """Of usable graphs, with intervals that hold the true value with this probability."""
        opinion = self.consult(graphs)
        std, low, high = (np.empty_like(opinion.values) for _ in range(3))
        for t, calibration in enumerate(self.calibration):
            scale = calibration.scale(told_of(opinion, t))
            std[:, t] = scale * calibration.times(_MIDDLE)
            low[:, t] = opinion.values[:, t] - scale * calibration.times(coverage)
            high[:, t] = opinion.values[:, t] + scale * calibration.times(coverage)
        low = bounded(low, self.targets)
        return Predictions(opinion.values, std, low, high, opinion.distance <= 1.0)

    def consult(self, graphs: Graphs) -> Opinion:
        """What the members say of usable graphs."""
        return hear(self.members, graphs, self.device).weighed(self.parts)

    def doubts(self, crystal: Crystal, shortest_ang: float, usual: bool) -> list[str]:
        """Why a prediction should not be believed; empty if nothing speaks against it."""
        known = self.members[0].scaling.known
        strangers = sorted({SYMBOLS[z] for z in crystal.numbers.tolist() if not known[z]})
        found = [f"never learnt {', '.join(strangers)}"] if strangers else []
        if shortest_ang < SHORTEST_ANG:
            found.append(f"atoms {shortest_ang:.2f} Å apart")
        if not usual:
            found.append("unlike the training data")
        return found


_CALIBRATE = "`stargen train crysformer` with the same options calibrates what it finds trained"


def read_members(folder: Path) -> list[Member]:
    """The members that lie in a folder, the one that sees composition alone last.

    Raises
    ------
    WeightsError : if there is none, one is damaged, or their targets differ
    """
    paths = sorted(folder.glob(MEMBER_FILES))
    if not paths:
        raise WeightsError(f"holds no {MEMBER_FILES}", file=folder)
    if (folder / COMPOSITION_FILE).is_file():
        paths.append(folder / COMPOSITION_FILE)
    members = [read_member(path) for path in paths]
    for path, member in zip(paths, members, strict=True):
        if member.targets != members[0].targets:
            raise WeightsError(
                f"predicts {member.targets}, the first member {members[0].targets}", file=path
            )
    return members


@dataclass(frozen=True, slots=True)
class Voices:
    """What each member says: (members, n, targets) values and expected errors.

    Parameters
    ----------
    distance : as in `Opinion`
    blind : (members,) those that see composition alone
    """

    values: Floats
    expected: Floats
    distance: Floats
    blind: NDArray[np.bool_]
    targets: tuple[str, ...]

    def weighed(self, parts: Floats) -> Opinion:
        """One opinion of all.

        Parameters
        ----------
        parts : (targets,) what composition counts, of 1; those that see structures count the rest
        """
        mean = sum(
            share * self.values[mine].mean(axis=0)
            for share, mine in ((parts, self.blind), (1 - parts, ~self.blind))
            if mine.any()
        )
        spread, expected = np.std(self.values, axis=0), np.mean(self.expected, axis=0)
        return Opinion(bounded(np.asarray(mean), self.targets), spread, expected, self.distance)

    def best_parts(self, labels: Floats) -> Floats:
        """(targets,) the parts of composition that err least.

        Parameters
        ----------
        labels : (n, targets) of crystals not learnt from; NaN where unknown
        """
        if self.blind.all() or not self.blind.any():
            return np.full(len(self.targets), float(self.blind.all()))
        tried = [np.full(len(self.targets), part) for part in np.linspace(0, 1, 21)]
        found = [errors(self.weighed(parts).values, labels) for parts in tried]
        mae = np.array([[each["mae"] for each in of_parts] for of_parts in found])
        mae[np.isnan(mae)] = np.inf
        return np.array([tried[i][0] for i in mae.argmin(axis=0)])


def hear(members: Sequence[Member], graphs: Graphs, device: torch.device) -> Voices:
    """What members say of usable graphs; the first one's latent tells how usual a crystal is."""
    rows = np.arange(len(graphs))
    fractions = fractions_of(graphs.numbers, graphs.atoms)
    values, expected, distance = [], [], np.zeros(len(graphs))
    for number, member in enumerate(members):
        network = member.fast if device.type == "cpu" else member.network
        found, log_scale, latents = outputs(network, graphs, rows, device)
        values.append(member.scaling.values(fractions, found))
        expected.append(np.exp(log_scale) * member.scaling.scale)
        if number == 0:
            away = latent_distances(latents, member.latent_mean, member.latent_precision)
            distance = away / member.notes["latent_limit"]
    blind = np.array([isinstance(member.network, Composition) for member in members])
    return Voices(np.array(values), np.array(expected), distance, blind, members[0].targets)


def told_of(opinion: Opinion, target: int) -> Floats:
    """Features of the error's scale for one target."""
    return features(opinion.spread[:, target], opinion.expected[:, target], opinion.distance)


def calibrate(folder: Path, learning: Learning, start: Path | None = None) -> Ensemble:
    """Judge the members of a folder by the validation crystals, and write that beside them.

    Parameters
    ----------
    start : the ensemble that the members learnt on from; its calibration of a target stays where
        there are too few crystals for a new one

    Raises
    ------
    UserError : if nothing is known of a target
    """
    members = read_members(folder)
    rows = learning.data.of_split("val")
    rows = rows[learning.graphs.usable[rows]]
    voices = hear(members, learning.graphs.take(rows), torch.device("cpu"))
    labels = learning.data.labels[rows]
    enough = np.isfinite(labels).sum(axis=0)
    before = None if start is None or not start.is_dir() else Ensemble.load(start)
    for target, known in zip(members[0].targets, enough, strict=True):
        if not known and before is None:
            raise UserError(f"no crystal in the split val has {target}", key="--target")
    parts = voices.best_parts(labels)
    if before is not None:
        parts = np.where(enough < _FEW, before.parts, parts)
    opinion = voices.weighed(parts)
    fitted: dict[str, Calibration] = {}
    for t, target in enumerate(members[0].targets):
        if before is not None and enough[t] < _FEW:
            fitted[target] = before.calibration[t]
            continue
        have = np.isfinite(labels[:, t])
        error = np.abs(opinion.values[have, t] - labels[have, t])
        fitted[target] = Calibration.fit(told_of(opinion, t)[have], error)
    notes = {"data": learning.data.digest(), "corrections": learning.corrections}
    content = {
        "format": FORMAT,
        "members": [member.digest for member in members],
        "composition": dict(zip(members[0].targets, parts.tolist(), strict=True)),
        "targets": {target: each.plain() for target, each in fitted.items()},
        "notes": notes,
    }
    write_atomically(folder / CALIBRATION_FILE, json.dumps(content, indent=1).encode())
    return Ensemble(members, list(fitted.values()), parts, notes)
