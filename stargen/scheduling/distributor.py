"""Distributor: what one node has been given, and how much more its task buffer should take.

Tasks that can run at once are *charged* against the node's resources; the others that were sent
ahead (*prefilled*) are not, and take the charge over when a charged one of the same request ends.
The agent decides which of its cores runs what; here only counts matter.
"""

from __future__ import annotations

from stargen.model import Resources

PREFILL_S = 0.25
"""Seconds of work that a node should have in hand beyond what it runs: several round trips."""

PREFILL_MAX = 256
"""At most this many prefilled tasks for each that can run."""

_COUNTLESS = 1 << 16
"""So many tasks fit that need nothing."""

Demands = tuple[tuple[str, float], ...]
"""(name, amount) of what one task needs, without zeros."""


class _Account:
    """What a node has of tasks of one request.

    Parameters
    ----------
    demands : of one such task; kept here because finding them means hashing the request again
    held : tasks that the node is believed to have
    charged : those of them that can run at once
    slots : how many the empty node runs at once, by its resources and the demands
    """

    __slots__ = ("charged", "demands", "held", "slots")

    def __init__(self, demands: Demands, slots: int) -> None:
        self.demands = demands
        self.held = self.charged = 0
        self.slots = slots


class Distributor:
    """One node's accounts."""

    __slots__ = ("_accounts", "_free", "_jobs", "_total", "attempts")

    def __init__(self, total: Resources) -> None:
        self._total = _vector(total)
        self._free = dict(self._total)
        self._accounts: dict[Resources, _Account] = {}
        self._jobs: dict[int, int] = {}
        self.attempts: dict[tuple[int, int], None] = {}
        """(job, ordinal) of every task that the node is believed to have, oldest first."""

    def resize(self, total: Resources) -> None:
        """The node has other resources than before."""
        new = _vector(total)
        for name in self._total.keys() | new.keys():
            change = new.get(name, 0.0) - self._total.get(name, 0.0)
            self._free[name] = self._free.get(name, 0.0) + change
        self._total = new
        for account in self._accounts.values():
            account.slots = _fit(new, account.demands)

    def _account(self, request: Resources) -> _Account:
        account = self._accounts.get(request)
        if account is None:
            demands = _demands(request)
            account = self._accounts[request] = _Account(demands, _fit(self._total, demands))
        return account

    def slots(self, request: Resources) -> int:
        """How many such tasks the empty node runs at once."""
        return self._account(request).slots

    def fits(self, request: Resources) -> int:
        """How many more such tasks it can run now."""
        return _fit(self._free, self._account(request).demands)

    def room(self, request: Resources, task_s: float | None, most: int, least: int = 1) -> int:
        """How many more such tasks to send: what fits now, and some ahead if tasks are short.

        Nothing is sent ahead of what cannot run now: it would wait behind others' long tasks.

        Parameters
        ----------
        task_s : expected duration of one task; None if unknown, then nothing is sent ahead
        most : tasks ahead, this node's share of what a master hands out in `PREFILL_S`
        least : how many make a message worth while; for fewer there is no room yet, as long as the
            node has as many in hand as it has room for
        """
        account = self._account(request)
        room = _fit(self._free, account.demands)
        if task_s is None:
            return room
        now = room + account.charged
        ahead = min(min(int(PREFILL_S / max(task_s, 1e-6)), PREFILL_MAX) * now, most)
        room += max(0, ahead - (account.held - account.charged))
        return 0 if room < min(least, (now + ahead + 1) // 2) else room

    def prefilled(self, request: Resources) -> int:
        """Tasks of this request that were sent ahead."""
        account = self._account(request)
        return account.held - account.charged

    def held(self, job: int) -> int:
        """Tasks of `job` that the node is believed to have."""
        return self._jobs.get(job, 0)

    @property
    def idle(self) -> bool:
        return not self.attempts

    def take(self, job: int, ordinals: list[int], request: Resources) -> None:
        """These tasks go to this node."""
        for ordinal in ordinals:
            self.attempts[job, ordinal] = None
        n = len(ordinals)
        self._jobs[job] = self._jobs.get(job, 0) + n
        account = self._account(request)
        account.held += n
        now = min(n, _fit(self._free, account.demands))
        if now:
            self._charge(account, now)

    def release(self, job: int, ordinals: list[int], request: Resources) -> None:
        """These tasks ended or came back; ones sent ahead take their place."""
        n = 0
        for ordinal in ordinals:
            n += self.attempts.pop((job, ordinal), True) is None
        if not n:
            return
        self._jobs[job] -= n
        account = self._account(request)
        account.held -= n
        surplus = account.charged - account.held
        if surplus > 0:
            self._charge(account, -surplus)

    def imagine(self, request: Resources, n: int) -> None:
        """Count `n` tasks as running that are not there: to see what else would fit."""
        self._charge(self._account(request), n)

    def _charge(self, account: _Account, n: int) -> None:
        account.charged += n
        for name, amount in account.demands:
            self._free[name] = self._free.get(name, 0.0) - n * amount

    def check(self) -> None:
        """AssertionError if the accounts do not add up."""
        accounts = self._accounts.values()
        held = sum(account.held for account in accounts)
        assert sum(self._jobs.values()) == held == len(self.attempts)
        for name, total in self._total.items():
            charged = sum(
                account.charged * dict(account.demands).get(name, 0.0) for account in accounts
            )
            assert abs(self._free[name] + charged - total) < 1e-6, name
            assert self._free[name] > -1e-6, f"{name} is overcommitted"
        for request, account in self._accounts.items():
            assert 0 <= account.charged <= account.held
            assert account.slots == _fit(self._total, _demands(request))


def _vector(total: Resources) -> dict[str, float]:
    vector = {
        "cores": float(total.cores),
        "gpus": total.gpus,
        "memory_gib": total.memory_gib,
        "scratch_gib": total.scratch_gib,
        "io": float(total.io),
    }
    return vector | {f"custom:{name}": amount for name, amount in total.custom}


_DEMANDS: dict[Resources, Demands] = {}


def _demands(request: Resources) -> Demands:
    """The non-zero demands of a request, worked out once."""
    demands = _DEMANDS.get(request)
    if demands is None:
        demands = tuple((name, amount) for name, amount in _vector(request).items() if amount > 0)
        _DEMANDS[request] = demands
    return demands


def _fit(free: dict[str, float], demands: Demands) -> int:
    """How many tasks with these demands fit into what is free."""
    fit = _COUNTLESS
    for name, amount in demands:
        n = int((free.get(name, 0.0) + 1e-9) / amount)
        if n < fit:
            fit = n
    return max(0, fit)
