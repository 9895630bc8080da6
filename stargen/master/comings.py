"""Comings: nodes that people add to a running campaign, and those that they take out of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from stargen.config import Pool
from stargen.errors import UserError
from stargen.hosts import expand
from stargen.master.keeper import NodeKeeper
from stargen.master.nodes import Nodes
from stargen.typed import near

_LOOK_S = 0.2
_GRACE_S = 10.0


class Comings:
    """Adds and removes nodes while the campaign runs; the site file stays as it is.

    Parameters
    ----------
    pools : of the site file
    keeper_for : (pool, host) -> what keeps a link to such a node
    rid_of : whether a node that gets no more work has none left, as the scheduler knows it; what
        agents say of their load now and then is too old for that
    removed : tells the scheduler of a node that was taken out, and by whom
    alert : tells people
    """

    def __init__(
        self,
        pools: Mapping[str, Pool],
        nodes: Nodes,
        keeper_for: Callable[[str, str], NodeKeeper],
        *,
        rid_of: Callable[[str], bool],
        removed: Callable[[str, str], None],
        alert: Callable[[str], None],
    ) -> None:
        self._pools = pools
        self._nodes = nodes
        self._keeper_for = keeper_for
        self._rid_of = rid_of
        self._removed = removed
        self._alert = alert
        self._going: set[asyncio.Task[None]] = set()

    def add(self, pool: str, hosts: str) -> list[str]:
        """Keep links to these hosts, by the settings of that pool; their names.

        Raises
        ------
        UserError : there is no such pool, its hosts have no names, or one is there already
        """
        settings = self._pools.get(pool)
        if settings is None:
            known = list(self._pools)
            raise UserError(f"there is no pool {pool}", hint=near(pool, known) or None)
        if not settings.hosts:
            raise UserError(f"the hosts of pool {pool} have no names: none can be added")
        try:
            names = expand(hosts)
        except ValueError as error:
            raise UserError(f"{hosts}: {error}") from error
        known = [name for name in names if name in self._nodes.keepers]
        if known:
            raise UserError(f"there is a node {known[0]} already")
        for name in names:
            self._nodes.add(self._keeper_for(pool, name))
        return names

    def remove(self, name: str, by: str) -> None:
        """Let a drained node go once nothing runs there."""
        keeper = self._nodes.keepers[name]
        task = asyncio.create_task(self._let_go(keeper, by))
        self._going.add(task)
        task.add_done_callback(self._going.discard)

    async def _let_go(self, keeper: NodeKeeper, by: str) -> None:
        while not self._rid_of(keeper.name):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_LOOK_S)
        reason = f"removed by {by}"
        await keeper.dismiss(reason, _GRACE_S)
        left = await keeper.end(_GRACE_S)
        self._nodes.keepers.pop(keeper.name, None)
        self._removed(keeper.name, reason)
        if left:
            self._alert(left)
