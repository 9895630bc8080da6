"""The state of a training on disk: whole or not at all, and only for the training it is of."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from stargen.errors import UserError
from stargen.files import make_folder, write_atomically

FORMAT = 1

_UNREADABLE = (KeyError, TypeError, ValueError, OSError, EOFError, RuntimeError, UnpicklingError)


class Checkpoint:
    """The file ``checkpoint.pt`` of a training's folder.

    Parameters
    ----------
    folder : of the training; made
    identity : what the training is; a checkpoint of another one is refused
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        make_folder(folder)
        self.path = folder / "checkpoint.pt"
        self._identity = json.loads(json.dumps(identity, default=str))

    def save(self, state: Mapping[str, Any]) -> None:
        """Put `state` (tensors and plain values) in place of the last one."""
        buffer = io.BytesIO()
        torch.save({"format": FORMAT, "identity": self._identity, "state": dict(state)}, buffer)
        write_atomically(self.path, buffer.getbuffer())

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The last state; None if there is none.

        Raises
        ------
        UserError : if the file is damaged, of another form, or of another training
        """
        if not self.path.is_file():
            return None
        try:
            found = torch.load(self.path, map_location=device, weights_only=True)
            form, identity, state = found["format"], found["identity"], found["state"]
        except _UNREADABLE as error:
            raise UserError(
                f"no checkpoint of a training, or a damaged one ({type(error).__name__})",
                file=self.path,
                hint="remove it to begin anew, or choose another folder",
            ) from error
        if form != FORMAT:
            raise UserError(f"has form {form}, this version reads {FORMAT}", file=self.path)
        self._refuse_another(identity)
        return state

    def _refuse_another(self, identity: Mapping[str, Any]) -> None:
        names = sorted(
            name
            for name in {*identity, *self._identity}
            if identity.get(name) != self._identity.get(name)
        )
        if names:
            told = "; ".join(
                f"{name} was {_short(identity.get(name))}, is {_short(self._identity.get(name))}"
                for name in names
            )
            raise UserError(
                f"is of another training: {told}",
                file=self.path,
                hint="choose another folder, or remove the checkpoint to begin anew",
            )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
