"""`stargen nodes`: what the site file's nodes are like, and what a person asks of them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from stargen.cli.loading import ConfigFile
from stargen.cli.places import Campaign, find_folder
from stargen.cli.tables import NODE_HEADINGS, node_row
from stargen.cli.words import AsJson, show_json, show_table
from stargen.errors import NodeError, UserError

if TYPE_CHECKING:
    import asyncio

    from stargen.config import Pool, Settings
    from stargen.launchers.base import Launcher
    from stargen.launchers.report import NodeReport
    from stargen.launchers.trying import Trial
    from stargen.scheduling.plan import Plan

app = typer.Typer(help="Check, trust, list, drain, add and remove nodes.", no_args_is_help=True)

_HEADINGS = (
    *("node", "pool", "state", "stargen", "python"),
    *(">cores", ">GiB", ">GPUs", ">scratch GiB"),
)
_AT_ONCE = 16
_PATIENCE_S = 150.0

Node = Annotated[str, typer.Argument(metavar="NODE", help="The node.")]


class Checked(NamedTuple):
    """What became of the question to one node."""

    name: str
    pool: str
    report: NodeReport | None
    problems: list[str]


@app.command()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A campaign file, whose calculators are tried."),
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask every node of the site file what it is like, before a campaign finds out.

    Each is reached as a campaign would reach it: login, interpreter, versions, clock, cores,
    memory, GPUs, scratch, and whether it sees this working directory. With a campaign FILE each
    node also loads the calculators of the jobs that may run there, with their weights and tables.
    """
    import asyncio

    from stargen.cli.loading import load
    from stargen.config import load_settings

    if file is None:
        plan, settings = None, load_settings(config)
    else:
        plan, settings = load(file, config)
    found = asyncio.run(_check_all(settings, plan, file))
    if as_json:
        show_json([_as_json(each) for each in found])
    else:
        show_table(
            [
                "node",
                "pool",
                "state",
                "stargen",
                "python",
                ">cores",
                ">GiB",
                ">GPUs",
                ">scratch GiB",
            ],
            [_as_row(each) for each in found],
        )
        for each in found:
            for problem in each.problems:
                typer.secho(f"{each.name}: {problem}", fg="red")
    if any(each.problems for each in found):
        raise typer.Exit(1)


@app.command("list")
def list_(campaign: Campaign = None, as_json: AsJson = False) -> None:
    """The nodes of a running campaign: state, tasks, what was wrong last."""
    nodes: list[dict[str, Any]] = _master_of(campaign)[1]["nodes"]
    if as_json:
        show_json(nodes)
        return
    show_table(NODE_HEADINGS, [node_row(each) for each in nodes])


@app.command()
def drain(node: Node, campaign: Campaign = None) -> None:
    """Send a node no more tasks; what runs there goes on."""
    _ask("drain", node, campaign)


@app.command()
def undrain(node: Node, campaign: Campaign = None) -> None:
    """Send a drained node tasks again."""
    _ask("undrain", node, campaign)


@app.command()
def add(
    hosts: Annotated[str, typer.Argument(metavar="HOSTS", help="Hosts, with ranges.")],
    pool: Annotated[str, typer.Option("--pool", help="Pool whose settings they have.")],
    campaign: Campaign = None,
) -> None:
    """Let a running campaign use more hosts, until its master ends."""
    from stargen.master.control import ControlClient

    root = _master_of(campaign)[0]
    with ControlClient.of(root) as master:
        for name in master.add_nodes(pool, hosts):
            typer.echo(f"asked to use {name}")


@app.command()
def remove(node: Node, campaign: Campaign = None) -> None:
    """Take a node out of a running campaign; what runs there is finished first."""
    from stargen.master.control import ControlClient

    root = _master_of(campaign)[0]
    with ControlClient.of(root) as master:
        master.remove_node(node)
    typer.echo(f"asked to remove {node}")


@app.command()
def trust(
    hosts: Annotated[list[str], typer.Argument(metavar="HOST...", help="Hosts, with ranges.")],
    config: ConfigFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Show the host keys of hosts, and store them among the known ones.

    Compare the fingerprints with those that your site publishes: whoever answers now is trusted
    from here on.
    """
    from stargen.config import load_settings
    from stargen.hosts import expand
    from stargen.transport.hostkeys import host_key, remember

    settings = load_settings(config)
    for host in [name for pattern in hosts for name in expand(pattern)]:
        key = host_key(host, _pool_of(host, settings).ssh)
        typer.echo(f"{host}: {key.algorithm} {key.fingerprint}")
        if key.known:
            typer.echo("  known already")
        elif yes or typer.confirm("  trust it?"):
            remember(key)
            typer.echo(f"  stored in {key.file}")


@app.command()
def clean(config: ConfigFile = None) -> None:
    """Remove what `bootstrap` has put on hosts of the site file, but for what is in use there."""
    import asyncio

    from stargen.config import load_settings

    if not asyncio.run(_clean_all(load_settings(config))):
        raise typer.Exit(1)


async def _clean_all(settings: Settings) -> bool:
    from stargen.launchers.bootstrap import clean as clean_host
    from stargen.launchers.bootstrap import packages_of
    from stargen.launchers.commands import LocalShell
    from stargen.launchers.ssh import host_of

    good = True
    for pool in settings.pool.values():
        places = pool.names or [pool.batch.login]
        for host in places if pool.bootstrap else ():
            shell = LocalShell() if host is None else host_of(host, pool.ssh)
            name = host or "this machine"
            try:
                freed, used = await clean_host(name, shell, pool, packages_of(pool))
            except NodeError as error:
                good = False
                typer.secho(f"{name}: {error.problem}", fg="red")
            else:
                kept = f", {used} kept that agents use" if used else ""
                typer.echo(f"{name}: {freed / 1e6:.0f} MB are free again{kept}")
            finally:
                await shell.close()
    return good


def _pool_of(host: str, settings: Settings) -> Pool:
    from stargen.config import Pool

    pools = [p for p in settings.pool.values() if host in (*p.names, p.batch.login)]
    return pools[0] if pools else Pool()


async def _check_all(settings: Settings, plan: Plan | None, file: Path | None) -> list[Checked]:
    import asyncio

    from stargen.calculators.registry import Registry
    from stargen.launchers.trying import trials_of

    registry = Registry.installed()
    gate = asyncio.Semaphore(_AT_ONCE)
    token = Path.cwd() / f".stargen-check-{secrets.token_hex(8)}"
    token.touch()
    try:
        launchers = {
            name: registry.load("launchers", pool.launcher)()
            for name, pool in settings.pool.items()
        }
        science = file.resolve().parent if file is not None else None  # noqa: ASYNC240 - once
        trials = {
            name: trials_of(plan, name, science if pool.folder is None else None) if plan else []
            for name, pool in settings.pool.items()
        }
        asked = [
            _check(host, name, pool, launchers[name], token, gate, trials[name])
            for name, pool in settings.pool.items()
            for host in pool.names or [""]
        ]
        return await asyncio.gather(*asked)
    finally:
        with suppress(FileNotFoundError):
            token.unlink()


async def _check(
    host: str,
    pool: str,
    settings: Pool,
    launcher: Launcher,
    token: Path,
    gate: asyncio.Semaphore,
    trials: Sequence[Trial],
) -> Checked:
    import asyncio
    import time

    from stargen.launchers.report import hindrances, report_here
    from stargen.launchers.trying import LONGEST_S
    from stargen.transport.onward import COMMANDS

    name = host or pool
    turns = -(-settings.ssh.group // COMMANDS)  # hosts of a group wait for each other
    patience_s = turns * (_PATIENCE_S + LONGEST_S * len(trials))
    async with gate:
        asked_s = time.time()
        try:
            async with asyncio.timeout(patience_s):
                there = await launcher.report(host, settings, token, trials)
        except TimeoutError:
            return Checked(name, pool, None, [f"no answer in {patience_s:g} s"])
        except NodeError as error:
            return Checked(name, pool, None, [error.problem])
    here = report_here(settings, token)
    return Checked(name, pool, there, hindrances(there, here, settings, asked_s))


def _as_row(each: Checked) -> Sequence[str]:
    state = "bad" if each.problems else "good"
    report = each.report
    if report is None:
        return [each.name, each.pool, state, *[""] * (len(_HEADINGS) - 3)]
    return [
        each.name,
        each.pool,
        state,
        report.version,
        report.python,
        str(report.cores),
        f"{report.memory_gib:g}",
        f"{report.gpus:g}",
        f"{report.scratch_gib:g}",
    ]


def _as_json(each: Checked) -> dict[str, Any]:
    from dataclasses import asdict

    report = each.report and asdict(each.report)
    return {"node": each.name, "pool": each.pool, "report": report, "problems": each.problems}


def _master_of(campaign: str | None) -> tuple[Path, dict[str, Any]]:
    from stargen.master.control import ControlClient, NoMaster

    folder = find_folder(campaign)
    try:
        with ControlClient.of(folder.root) as master:
            return folder.root, master.status()
    except NoMaster as error:
        raise UserError(error.problem, hint="nodes belong to a campaign that runs") from error


def _ask(action: str, node: str, campaign: str | None) -> None:
    from stargen.master.control import ControlClient

    root, picture = _master_of(campaign)
    names = [each["name"] for each in picture["nodes"]]
    if node not in names:
        raise UserError(f"there is no node {node}", hint=f"there are: {', '.join(names)}")
    with ControlClient.of(root) as master:
        master.ask(action, node)
    typer.echo(f"asked to {action} {node}")
