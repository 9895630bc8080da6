from dataclasses import fields
from pathlib import Path

import pytest

from stargen.config import (
    Batch,
    Limits,
    Master,
    Pool,
    Settings,
    Ssh,
    config_files,
    load_settings,
    node_resources,
    promised_nodes,
    settings_from,
)
from stargen.errors import ConfigError, Problems
from stargen.model import Resources
from stargen.toml import Document, read_document

ROOT = Path(__file__).resolve().parents[2]


def document(text, file="stargen.toml"):
    return Document(text, file, ConfigError)


def test_the_documented_example_is_the_default():
    assert settings_from([read_document(ROOT / "stargen.toml", ConfigError)]) == Settings()
    assert settings_from([]) == Settings(pool={"local": Pool(launcher="local")})


def test_later_files_override_earlier_ones_key_by_key():
    settings = settings_from(
        [
            document(
                '[pool.cpu]\nlauncher = "slurm"\nhosts = ["a"]\n'
                'batch = { account = "x", nodes = 1 }'
            ),
            document(
                '[pool.cpu]\nbatch = { account = "y" }\nhosts = ["b"]\n'
                "limits = { cores = 2, memory_gib = 4 }\n[pool.gpu]"
            ),
        ]
    )
    assert settings.pool["cpu"] == Pool(
        launcher="slurm",
        hosts=("b",),
        batch=Batch(account="y", nodes=1),
        limits=Limits(cores=2, memory_gib=4),
    )
    assert list(settings.pool) == ["cpu", "gpu"]


def test_every_file_is_checked_with_its_own_lines():
    with pytest.raises(Problems) as caught:
        settings_from(
            [
                document("[pool.a]\nlauncer = 'x'", "site.toml"),
                document("\n[master]\nlease_s = '1 h'", "user.toml"),
            ]
        )
    message = str(caught.value)
    assert "site.toml:2: pool.a.launcer: unknown key\n  did you mean launcher?" in message
    assert 'user.toml:3: master.lease_s: found "1 h"' in message
    assert "write lease_s = 3600" in message


def test_times_that_contradict_each_other_are_refused_across_files():
    with pytest.raises(ConfigError, match="heartbeat_s < lost_after_s < lease_s"):
        settings_from(
            [document("[master]\nlease_s = 1000"), document("[master]\nlost_after_s = 2000")]
        )


def test_files_are_found_where_the_desktop_standard_says(tmp_path):
    environ = {"XDG_CONFIG_DIRS": "/strong:/weak", "XDG_CONFIG_HOME": "/user"}
    assert [str(p) for p in config_files(environ, Path("/here"))] == [
        "/weak/stargen/stargen.toml",
        "/strong/stargen/stargen.toml",
        "/user/stargen/stargen.toml",
        "/here/stargen.toml",
    ]
    plain = config_files({"HOME": "/home/x"}, Path("/here"))
    assert str(plain[0]) == "/etc/xdg/stargen/stargen.toml"
    assert str(plain[1]) == "/home/x/.config/stargen/stargen.toml"


def test_layers_on_disk_and_a_named_file(tmp_path):
    user, work = tmp_path / "user" / "stargen", tmp_path / "work"
    user.mkdir(parents=True)
    work.mkdir()
    (user / "stargen.toml").write_text("[pool.a]\nsetup = ['u']\n[pool.a.limits]\ncores = 3")
    (work / "stargen.toml").write_text("[pool.a]\nsetup = ['w']")
    other = tmp_path / "other.toml"
    other.write_text("[pool.a]\nsetup = ['o']")
    environ = {"XDG_CONFIG_DIRS": str(tmp_path), "XDG_CONFIG_HOME": str(user.parent)}
    settings = load_settings(environ=environ, folder=work)
    assert settings.pool["a"] == Pool(setup=("w",), limits=Limits(cores=3))
    settings = load_settings(other, environ=environ, folder=work)
    assert settings.pool["a"].setup == ("o",)
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read"):
        load_settings(tmp_path / "absent.toml", environ=environ, folder=work)


def test_limits_replace_what_the_machine_has():
    machine = Resources(cores=8, memory_gib=32.0, gpus=1.0, scratch_gib=50.0)
    limits = Limits(cores=4, gpus=0, custom={"licences": 2.0, "arm": 1.0})
    assert node_resources(limits, machine) == Resources(
        cores=4,
        memory_gib=32.0,
        gpus=0,
        scratch_gib=50.0,
        io=4,
        custom=(("arm", 1.0), ("licences", 2.0)),
    )


def test_nodes_are_promised_where_the_file_says_what_they_have():
    machine = Resources(cores=8, memory_gib=32.0)
    assert promised_nodes(Settings(), machine) == [
        ("local", Resources(cores=8, memory_gib=32.0, io=4))
    ]
    remote = Pool(launcher="ssh", hosts=("a", "b"), limits=Limits(cores=2, memory_gib=4.0, gpus=1))
    assert (
        promised_nodes(Settings(pool={"far": remote}), machine)
        == [("far", Resources(cores=2, memory_gib=4.0, gpus=1.0, io=4))] * 2
    )
    unknown = Pool(launcher="ssh", hosts=("a",))
    assert promised_nodes(Settings(pool={"far": unknown}), machine) is None


def test_a_batch_pool_promises_the_nodes_of_one_allocation():
    limits = Limits(cores=24, memory_gib=48)
    pool = Pool(launcher="slurm", batch=Batch(nodes=2, max_nodes=8), limits=limits)
    (name, node), again = promised_nodes(Settings(pool={"far": pool}), Resources()) or []
    assert (name, again) == ("far", (name, node))
    assert (node.cores, node.memory_gib, node.gpus, node.io) == (24, 48, 0, 4)
    assert node.scratch_gib > 1000, "nobody knows it yet"


def test_the_reference_explains_every_key_and_default():
    page = (ROOT / "docs" / "reference" / "site.md").read_text("utf-8")
    _, *sections = page.split("\n## ")
    told: dict[str, str] = {}
    for table, section in zip((Master, Pool, Ssh, Batch, Limits), sections, strict=True):
        rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
        told = {row[1].strip().strip("`"): row[3].strip() for row in rows if len(row) == 5}
        assert {f.name for f in fields(table)} == told.keys(), table
        for f in fields(table):
            if isinstance(f.default, int | float) and not isinstance(f.default, bool):
                assert float(told[f.name]) == f.default, f.name
    assert told["io"] == str(Limits().io)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("walltime = ['an hour']", 'write it as "HH:MM:SS"'),
        ("walltime = ['00:01:00']", "no longer than margin_s"),
        ("walltime = []", "no longer than margin_s"),
        ("nodes = 4\nmax_nodes = 2", "allocations of 4 nodes, and max_nodes is 2"),
    ],
)
def test_what_is_asked_of_a_batch_system_makes_sense(text, problem):
    with pytest.raises(ConfigError, match=problem):
        settings_from([document(f"[pool.cpu.batch]\n{text}")])


def test_a_batch_pool_says_what_a_node_has():
    with pytest.raises(ConfigError, match="do not say what one of its nodes has"):
        settings_from([document("[pool.cpu]\nlauncher = 'pbs'")])


def test_walltimes_form_a_ladder():
    batch = Batch(walltime=("1-02:00:00", "00:30:00"))
    assert batch.ladder_s == (1800, 93_600)


@pytest.mark.parametrize(
    "pool",
    [
        'launcher = "local"',
        'launcher = "slurm"\nlimits = { cores = 2, memory_gib = 4 }',
    ],
)
def test_a_bootstrap_needs_a_place(pool):
    with pytest.raises(ConfigError, match="nowhere to put") as caught:
        settings_from([document(f'[pool.cpu]\n{pool}\nbootstrap = ["stargen"]')])
    assert caught.value.key == "pool.cpu.bootstrap"


def test_a_bootstrap_may_be_said_without_the_launcher():
    weak = document('[pool.cpu]\nlauncher = "ssh"\nhosts = ["cn1"]')
    settings = settings_from([weak, document('[pool.cpu]\nbootstrap = ["stargen"]')])
    assert settings.pool["cpu"].bootstrap == ("stargen",)
