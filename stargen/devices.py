"""GPUs: which there are, and how a process is shown only those that it was granted.

Numbers here are those of the monitor (NVML, sysfs). What the environment names may be something
else: a batch system may show a job GPUs 2 and 3, or name them by their UUIDs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_DEV = Path("/dev")
_KFD = Path("/sys/class/kfd/kfd/topology/nodes")
_VISIBLE = {"nvidia": "CUDA_VISIBLE_DEVICES", "amd": "ROCR_VISIBLE_DEVICES"}


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPUs that this process may use.

    Parameters
    ----------
    vendor : whose they are; "nvidia" also where there are none
    names : {number: what the visibility variable calls it}
    present : whether the machine has any
    """

    vendor: Literal["nvidia", "amd"]
    names: Mapping[int, str]
    present: bool = True

    def __len__(self) -> int:
        return len(self.names) if self.present else 0

    def shown(self, numbers: Sequence[int]) -> dict[str, str]:
        """Environment variables by which a process sees these and no others.

        AMD's runtime renumbers from 0 what ROCR_VISIBLE_DEVICES leaves, and HIP then looks at its
        own variables and at CUDA's too, which must therefore speak of the new numbers.
        """
        names = ",".join(self.names.get(number, str(number)) for number in numbers)
        if self.vendor == "nvidia":
            return {"CUDA_VISIBLE_DEVICES": names, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        again = ",".join(map(str, range(len(numbers)))) or "-1"
        return {
            "ROCR_VISIBLE_DEVICES": names,
            "HIP_VISIBLE_DEVICES": again,
            "CUDA_VISIBLE_DEVICES": again,
        }


def gpus_here(environ: Mapping[str, str], dev: Path = _DEV, kfd: Path = _KFD) -> Gpus:
    """The GPUs of this machine, as far as the environment does not hide them."""
    nvidia = sorted(int(p.name[6:]) for p in dev.glob("nvidia[0-9]*") if p.name[6:].isdigit())
    if not nvidia and (amd := _amd_gpus(kfd)):
        return Gpus("amd", _named(range(amd), environ.get(_VISIBLE["amd"])))
    return Gpus("nvidia", _named(nvidia, environ.get(_VISIBLE["nvidia"])), bool(nvidia))


def _named(present: Iterable[int], visible: str | None) -> dict[int, str]:
    if visible is None:
        return {number: str(number) for number in present}
    names = [name.strip() for name in visible.split(",")]
    names = [name for name in names if name not in ("", "-1", "NoDevFiles")]
    if all(name.isdigit() for name in names):
        return {int(name): name for name in names}
    return dict(enumerate(names))


def _amd_gpus(kfd: Path) -> int:
    """Compute devices of AMD's driver; those with id 0 are CPUs."""
    found = 0
    for node in kfd.glob("[0-9]*/gpu_id"):
        with suppress(OSError, ValueError):
            found += int(node.read_text()) != 0
    return found


def first_gpus(count: int, environ: Mapping[str, str] = os.environ) -> tuple[int, ...]:
    """Numbers of the first `count` GPUs; made up where the machine shows fewer."""
    known = list(gpus_here(environ).names)[:count]
    free = (number for number in range(count + len(known)) if number not in known)
    return tuple(known + [next(free) for _ in range(count - len(known))])
