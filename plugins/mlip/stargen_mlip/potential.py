"""CHGNet as a function: energy, forces and stress of a crystal.

Source: Deng et al., Nature Machine Intelligence 5, 1031 (2023), doi:10.1038/s42256-023-00716-3.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from chgnet.model.model import BatchedGraph, CHGNet
from numpy.typing import NDArray
from pymatgen.core import Element, Lattice, Structure

from stargen import Crystal

Floats = NDArray[np.float64]


class NotEvaluableError(Exception):
    """The potential has no answer for this arrangement of atoms."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the potential says of one crystal.

    Parameters
    ----------
    energy : eV per cell
    forces : (n_atoms, 3) float64, eV/Å
    stress : (3, 3) float64, eV/Å^3; positive where the cell wants to shrink
    """

    energy: float
    forces: Floats
    stress: Floats

    @property
    def max_force(self) -> float:
        """Largest force on an atom, eV/Å."""
        return float(np.linalg.norm(self.forces, axis=1).max())


class Chgnet:
    """The pretrained network, loaded from its package.

    Parameters
    ----------
    version : which of the pretrained networks
    device : torch device
    threads : CPU threads that it may use
    """

    def __init__(self, version: str, *, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        # chgnet asks a tensor for its value where torch would rather see it detached first
        warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad")
        with contextlib.redirect_stdout(io.StringIO()):  # it announces itself
            self._net = CHGNet.load(model_name=version, use_device=device, verbose=False)
            self._net.graph_converter.set_isolated_atom_response("error")
        self._net.eval()
        self._net.requires_grad_(False)
        self._device = device

    def evaluate(self, crystal: Crystal) -> Evaluation:
        """Energy, forces and stress.

        One backward pass gives forces and stress together and keeps no graph for training, which
        takes 0.6 of the time of `CHGNet.predict_structure` at equal results.

        Raises
        ------
        NotEvaluableError : if the network does not know an element, an atom has no neighbour within
            reach, or a result is not finite
        """
        net = self._net
        heaviest, known = int(crystal.numbers.max()), net.atom_embedding.embedding.num_embeddings
        if heaviest > known:
            symbol = Element.from_Z(heaviest).symbol
            raise NotEvaluableError(f"CHGNet knows elements up to {known}, and not {symbol}")
        species = [Element.from_Z(z) for z in crystal.numbers.tolist()]
        structure = Structure(Lattice(crystal.lattice), species, crystal.frac_coords)
        try:
            graph = net.graph_converter(structure)
        except (ValueError, RuntimeError) as error:
            raise NotEvaluableError(str(error)) from error
        graph = graph.to(self._device)
        batch = BatchedGraph.from_graphs(
            [graph],
            bond_basis_expansion=net.bond_basis_expansion,
            angle_basis_expansion=net.angle_basis_expansion,
            compute_stress=True,
        )
        size = crystal.n_atoms if net.is_intensive else 1
        energy = net._compute(batch)["e"].sum() * size
        gradients = torch.autograd.grad(energy, [*batch.atom_positions, *batch.strains])
        forces, strain_derivative = (g.cpu().numpy().astype(np.float64) for g in gradients)
        total = energy.item() + net.composition_model([graph]).sum().item() * size
        stress = strain_derivative / crystal.volume
        if not (np.isfinite(total) and np.isfinite(forces).all() and np.isfinite(stress).all()):
            raise NotEvaluableError("energy, forces or stress are not finite")
        return Evaluation(total, -forces, (stress + stress.T) / 2)
