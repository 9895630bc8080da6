"""Where files of weights are. Light: planning asks before torch is there."""

from __future__ import annotations

from pathlib import Path

KIND = "diffusion"
SHIPPED = {
    "mp20-small": "small",
    "mp20-small-csp": "small-csp",
    "mp20-medium": "medium",
    "mp20-medium-csp": "medium-csp",
}
"""Names -> presets. Names that a campaign may use instead of a file."""

_FOLDER = Path(__file__).parent / "weights"


def weights_file(name: str, folder: Path) -> Path:
    """The file of shipped weights, or a user's own, relative to `folder`."""
    return _FOLDER / f"{name}.npz" if name in SHIPPED else folder / Path(name).expanduser()


def missing(name: str, folder: Path) -> str | None:
    """What is wrong, and what to do, if the file is not there."""
    path = weights_file(name, folder)
    if path.is_file():
        return None
    if name in SHIPPED:
        return (
            f'this installation comes without the weights "{name}"; train them with'
            f" `stargen train diffusion DATA --preset {SHIPPED[name]}` and give the file's path"
        )
    return (
        f"weights {name}: there is no file {path}; it is a path, relative to the campaign file,"
        f" or one of {', '.join(SHIPPED)}"
    )
