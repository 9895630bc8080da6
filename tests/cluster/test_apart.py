"""Hosts that share no folder with the master or with each other: files travel over the link."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from cluster.far import HEAD
from cluster.hosts import Host, Hosts, run
from cluster.site import Site
from support.checker import Books
from support.real_campaigns import wait_for

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]

POOL = """\
[pool.{name}]
launcher = "ssh"
hosts = [{hosts}]
folder = "{folder}"
ssh = {{ config = "{config}" }}
limits = {{ cores = 1, memory_gib = 1, gpus = 0 }}

"""

WORK = (
    HEAD
    + """
[[job]]
name = "make"
use = "echo.source"
params = {{ count = 12, payload_bytes = 200_000 }}
pool = "generating"

[[job]]
name = "look"
input = "make"
use = "nasty.table"
pool = "computing"

[[job]]
name = "few"
input = "look"
select = {{ sample = 1 }}

[[job]]
name = "dft"
input = "few"
pool = "computing"
[[job.step]]
use = "nasty.part"
part = 1
seconds = 10.5
log = "{logs}/parts"
[[job.step]]
use = "nasty.part"
part = 2
seconds = 5.0
log = "{logs}/parts"
"""
)


def hide(hosts: Hosts, folder: Path) -> None:
    """The hosts see nothing of what lies in that folder."""
    for host in hosts.hosts:
        run("nsenter", "-t", str(host.pid), "-m", "mount", "-t", "tmpfs", "none", folder)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def at_work(hosts: Hosts) -> list[Host]:
    """The host on which the second part is under way."""
    return [h for h in hosts.hosts if any("sleep 5.0" in line for line in h.processes().values())]


def test_inputs_payloads_and_checkpoints_travel(tmp_path: Path, hosts: Hosts):
    site = Site(tmp_path / "work", hosts)
    logs = tmp_path / "logs"
    logs.mkdir()
    chance = random.Random(3)
    numbers = [chance.randrange(10**6) for _ in range(400_000)]
    (site.base / "table.txt").write_text("\n".join(map(str, numbers)))
    (site.base / "more" / "below").mkdir(parents=True)
    for name in ("one.txt", "below/two.txt"):
        (site.base / "more" / name).write_text("1000000007")
    (site.base / "campaign.toml").write_text(WORK.format(logs=logs))
    config = hosts.folder / "ssh_config"
    pools = {"generating": '"cn1"', "computing": '"cn[2-4]"'}
    (site.base / "stargen.toml").write_text(
        "[master]\nheartbeat_s = 1\nlost_after_s = 4\nlease_s = 120\n"
        + "".join(
            POOL.format(name=name, hosts=names, folder="/mnt/stargen", config=config)
            for name, names in pools.items()
        )
    )
    for host in hosts.hosts:
        run("nsenter", "-t", str(host.pid), "-m", "mount", "-t", "tmpfs", "none", "/mnt")
    hide(hosts, site.base)

    master = site.start("up", "campaign.toml")
    assert wait_for(lambda: any(line.endswith(" 2") for line in lines(logs / "parts")), 150), (
        site.sweep(),
        master.communicate()[0],
    )
    assert wait_for(lambda: bool(at_work(hosts)))
    hosts.kill(at_work(hosts)[0])
    text, _ = master.communicate(timeout=300)
    assert master.returncode == 0, text

    books = Books(site.folder / "journal")
    books.check_complete()
    books.check_database(site.base / "far.db")
    for content in books.contents("look").values():
        assert content.properties["looked"] == sum(numbers) + 2 * 1_000_000_007
        assert content.properties["at"] in ("cn2", "cn3", "cn4")
    (dft,) = books.contents("dft").values()
    assert dft.properties["parts"] == 2
    parts = [line.split()[-1] for line in lines(logs / "parts")]
    assert parts == ["1", "2", "2"], "the first step's file went to the next host"
    assert not list((site.folder / "checkpoints").rglob("state"))
