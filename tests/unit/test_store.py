from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from stargen.errors import ConfigError
from stargen.store import SOCKET_PATH_BYTES, CampaignFolder, runtime_folder


def test_a_campaign_folder_is_made_once_and_again(tmp_path: Path):
    folder = CampaignFolder(tmp_path / "deep" / "campaign")
    for _ in range(2):
        folder.prepare()
        folder.keep_campaign_file("[campaign]\n")
    assert sorted(p.name for p in folder.root.iterdir()) == [
        "campaign.toml",
        "checkpoints",
        "journal",
        "run",
        "scratch",
    ]
    assert folder.campaign_file.read_text() == "[campaign]\n"


def test_a_campaign_file_is_replaced_only_when_it_changes(tmp_path: Path):
    folder = CampaignFolder(tmp_path)
    folder.keep_campaign_file("a = 1\n")
    before = folder.campaign_file.stat().st_ino
    folder.keep_campaign_file("a = 1\n")
    assert folder.campaign_file.stat().st_ino == before
    folder.keep_campaign_file("a = 2\n")
    assert folder.campaign_file.read_text() == "a = 2\n"


def test_a_socket_path_is_short_however_long_the_campaigns_is(tmp_path: Path):
    campaign = tmp_path.joinpath(*["a-rather-long-name"] * 12)
    folder = runtime_folder(campaign, {}, Path("/tmp"))
    try:
        assert len(os.fsencode(folder / ("s" * 24))) <= SOCKET_PATH_BYTES
    finally:
        folder.rmdir()


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path to a fresh folder, as /tmp is one."""
    link = Path("/tmp", f"sg{os.getpid()}")
    link.symlink_to(tmp_path_factory.mktemp("t"))
    yield link
    link.unlink()


def test_sockets_lie_in_a_private_folder_that_every_login_finds(short: Path, tmp_path: Path):
    folder = runtime_folder(tmp_path, {}, short)
    assert folder == runtime_folder(tmp_path, {"XDG_RUNTIME_DIR": "/run/user/1"}, short)
    assert folder == runtime_folder(tmp_path / "x" / "..", {}, short)
    assert folder != runtime_folder(tmp_path / "other", {}, short)
    assert folder.parent.parent == short
    for made in (folder, folder.parent):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_a_folder_that_others_can_enter_is_closed(short: Path, tmp_path: Path):
    (short / f"stargen-{os.getuid()}").mkdir(mode=0o755)
    base = runtime_folder(tmp_path, {}, short).parent
    assert stat.S_IMODE(base.stat().st_mode) == 0o700


def test_a_link_in_its_place_is_not_followed(short: Path, tmp_path: Path):
    (tmp_path / "trap").mkdir()
    (short / f"stargen-{os.getuid()}").symlink_to(tmp_path / "trap")
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConfigError, match="is no folder"):
        runtime_folder(tmp_path, {}, short)
    xdg = short / "x"
    xdg.mkdir()
    assert runtime_folder(tmp_path, {"XDG_RUNTIME_DIR": str(xdg)}, short).is_relative_to(xdg)
    assert not list((tmp_path / "trap").iterdir())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_another_users_folder_is_refused(short: Path, tmp_path: Path):
    base = short / f"stargen-{os.getuid()}"
    base.mkdir()
    os.chown(base, 12345, 12345)
    with pytest.raises(ConfigError, match="another user"):
        runtime_folder(tmp_path, {}, short)


def test_too_long_a_base_is_refused_by_name(tmp_path: Path):
    with pytest.raises(ConfigError, match="too long a path"):
        runtime_folder(tmp_path, {}, tmp_path / ("x" * 90))


def test_too_long_a_socket_name_is_a_bug(tmp_path: Path):
    with pytest.raises(ValueError, match="at most 24 bytes"):
        CampaignFolder(tmp_path).socket("x" * 25)


def test_a_campaign_remembers_where_its_file_lies(tmp_path: Path):
    folder = CampaignFolder(tmp_path / "campaigns" / "a")
    folder.prepare()
    assert folder.origin is None
    folder.keep_origin(tmp_path / "campaigns" / ".." / "science")
    assert folder.origin == tmp_path / "science"
