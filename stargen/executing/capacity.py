"""Capacity: what a node has, what is granted, and which cores and GPUs a grant is made of. Pure.

Everything is counted in whole units (thousandths of a GPU, MiB, thousandths of a custom resource),
so that no rounding error ever lets a node be exceeded or a last free share be lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stargen.model import Resources

_MILLI = 1000
_MIB = 1024


@dataclass(frozen=True, slots=True)
class Topology:
    """The devices of a node, by the numbers that the operating system gives them.

    Parameters
    ----------
    cores : the cores of each NUMA node
    gpus : indices of the GPUs
    pinned : False if there are more cores than the machine has, so that none can be held to one
    """

    cores: tuple[tuple[int, ...], ...]
    gpus: tuple[int, ...] = ()
    pinned: bool = True


@dataclass(frozen=True, slots=True)
class Grant:
    """A share of the node: these cores, these GPUs, and the amounts of `resources`."""

    number: int
    resources: Resources
    cores: tuple[int, ...] = ()
    gpus: tuple[tuple[int, int], ...] = ()
    """(index, thousandths) of each GPU."""


class Capacity:
    """The account of one node.

    Parameters
    ----------
    total : what the node offers; `walltime_s`, `nodes` and `scratch` mean nothing here
    topology : must name `total.cores` cores and the GPUs that `total.gpus` counts
    """

    def __init__(self, total: Resources, topology: Topology) -> None:
        self.total = total
        self.topology = topology
        self._free = dict(_amounts(total))
        self._cores = [list(cores) for cores in topology.cores]
        self._gpus = dict.fromkeys(topology.gpus, _MILLI)
        self._grants: dict[int, Grant] = {}
        self._reserved: dict[str, int] = {}
        self._next = 0
        if sum(map(len, self._cores)) != total.cores or len(self._gpus) < total.gpus:
            raise ValueError(f"{topology} does not describe the devices of {total}")

    @property
    def grants(self) -> Mapping[int, Grant]:
        return self._grants

    def possible(self, request: Resources) -> bool:
        """True if the empty node can give it, and not without end: it takes something counted."""
        custom = any(amount for _, amount in request.custom)
        if not (request.cores or request.gpus or request.io or custom):
            return False
        whole, part = divmod(_milli(request.gpus), _MILLI)
        total = _amounts(self.total)
        return whole + bool(part) <= len(self._gpus) and all(
            amount <= total.get(name, 0) for name, amount in _amounts(request).items()
        )

    def fits(self, request: Resources, freed: Grant | None = None) -> bool:
        """True if `take` would succeed now, or after `freed` is released."""
        free, reserved = self._free, self._reserved
        back: Mapping[str, int] = _amounts(freed.resources) if freed is not None else {}
        for name, amount in _amounts(request).items():
            if amount and amount > free.get(name, 0) + back.get(name, 0) - reserved.get(name, 0):
                return False
        return request.gpus <= 0 or self._choose_gpus(request.gpus, freed) is not None

    def reserve(self, request: Resources) -> None:
        """Until `unreserve`, `fits` counts this much as taken: someone has waited too long."""
        for name, amount in _amounts(request).items():
            self._reserved[name] = self._reserved.get(name, 0) + amount

    def unreserve(self) -> None:
        """Forget all reservations."""
        self._reserved.clear()

    def take(self, request: Resources, prefer: Iterable[int] = ()) -> Grant:
        """Grant `request`, on the cores `prefer` if they are free.

        Raises
        ------
        ValueError : if it does not fit
        """
        gpus = self._choose_gpus(request.gpus)
        if gpus is None or any(
            amount > self._free.get(name, 0) for name, amount in _amounts(request).items()
        ):
            raise ValueError(f"{request} does not fit")
        cores = self._choose_cores(request.cores, tuple(prefer))
        grant = Grant(self._next, request, cores, gpus)
        self._next += 1
        for name, amount in _amounts(request).items():
            self._free[name] -= amount
        for index, share in gpus:
            self._gpus[index] -= share
        for lane in self._cores:
            lane[:] = [core for core in lane if core not in cores]
        self._grants[grant.number] = grant
        return grant

    def release(self, grant: Grant) -> None:
        """The share is free again. KeyError if it was not granted."""
        del self._grants[grant.number]
        for name, amount in _amounts(grant.resources).items():
            self._free[name] += amount
        for index, share in grant.gpus:
            self._gpus[index] += share
        for lane, all_cores in zip(self._cores, self.topology.cores, strict=True):
            free = {*lane, *grant.cores}
            lane[:] = [core for core in all_cores if core in free]

    def free_gib(self) -> float:
        """Memory not granted, GiB."""
        return self._free["memory"] / _MIB

    def check(self) -> None:
        """AssertionError if more is granted than there is, or one device twice."""
        cores = [core for grant in self._grants.values() for core in grant.cores]
        assert len(cores) == len(set(cores)), "a core is granted twice"
        for name, total in _amounts(self.total).items():
            granted = sum(_amounts(g.resources).get(name, 0) for g in self._grants.values())
            assert 0 <= granted <= total, f"{name}: {granted} of {total} granted"
            assert self._free[name] == total - granted, name
        for index in self.topology.gpus:
            shares = sum(
                share for g in self._grants.values() for gpu, share in g.gpus if gpu == index
            )
            assert 0 <= shares <= _MILLI, f"GPU {index} is overcommitted"
            assert self._gpus[index] == _MILLI - shares

    def _choose_cores(self, count: int, prefer: Sequence[int]) -> tuple[int, ...]:
        """Cores of as few NUMA nodes as can be; of those that would do, the fullest."""
        if len(prefer) == count and set(prefer) <= {c for lane in self._cores for c in lane}:
            return tuple(prefer)
        chosen: list[int] = []
        lanes = sorted(self._cores, key=len)
        while len(chosen) < count:
            missing = count - len(chosen)
            lane = next((lane for lane in lanes if len(lane) >= missing), lanes[-1])
            lanes.remove(lane)
            chosen += lane[:missing]
        return tuple(chosen)

    def _choose_gpus(
        self, gpus: float, freed: Grant | None = None
    ) -> tuple[tuple[int, int], ...] | None:
        """Whole GPUs, then a share of the one with the least room that still has it."""
        room = dict(self._gpus)
        for index, share in freed.gpus if freed is not None else ():
            room[index] += share
        whole, part = divmod(_milli(gpus), _MILLI)
        chosen = [index for index, free in room.items() if free == _MILLI][:whole]
        if len(chosen) < whole:
            return None
        grants = [(index, _MILLI) for index in chosen]
        if part:
            shared = [(free, i) for i, free in room.items() if free >= part and i not in chosen]
            if not shared:
                return None
            grants.append((min(shared)[1], part))
        return tuple(grants)


def _milli(amount: float) -> int:
    return int(amount * _MILLI + 1e-6)


_AMOUNTS: dict[Resources, Mapping[str, int]] = {}


def _amounts(resources: Resources) -> Mapping[str, int]:
    """The countable part of a request or a node, worked out once."""
    amounts = _AMOUNTS.get(resources)
    if amounts is None:
        amounts = _AMOUNTS[resources] = {
            "cores": resources.cores,
            "gpus": _milli(resources.gpus),
            "memory": int(resources.memory_gib * _MIB + 1e-6),
            "scratch": int(resources.scratch_gib * _MIB + 1e-6),
            "io": resources.io,
            **{f"custom {name}": _milli(amount) for name, amount in resources.custom},
        }
    return amounts
