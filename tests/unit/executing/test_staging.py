import os
import stat

from stargen.executing.staging import (
    ScratchSpace,
    bytes_in,
    task_folder,
)
from stargen.messages import AttemptRef


def space(tmp_path, **more):
    return ScratchSpace("agent-1", tmp_path / "shared", tmp_path / "local", **more)


def test_each_kind_has_its_place_for_this_user_alone(tmp_path):
    ram = tmp_path / "ram"
    ram.mkdir()
    scratch = space(tmp_path, ram=ram)
    for kind, parent in (("none", "shared"), ("local", "local"), ("ram", "ram")):
        place = scratch.place(kind)
        assert place.parent == tmp_path / parent
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_without_a_ram_disk_the_local_one_is_used(tmp_path):
    scratch = space(tmp_path, ram=tmp_path / "nothing")
    assert scratch.place("ram") == scratch.place("local")


def test_a_successor_removes_what_was_left(tmp_path):
    folder = task_folder(space(tmp_path).place("local"), "relax", AttemptRef(0, 3, 1, 9))
    assert folder.name == "relax-3-1.9"
    folder.mkdir()
    (folder / "WAVECAR").write_bytes(b"x" * 5000)
    space(tmp_path).clear()
    assert list((tmp_path / "local").iterdir()) == []


def test_links_and_holes_are_not_counted(tmp_path):
    (tmp_path / "a").write_bytes(os.urandom(100_000))
    (tmp_path / "link").symlink_to("/etc/passwd")
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(10**9)
    assert 100_000 <= bytes_in(tmp_path) < 1_000_000
    assert bytes_in(tmp_path / "nothing") == 0


def test_what_killed_agents_left_is_removed_and_what_living_ones_hold_is_not(tmp_path):
    places = {}
    for agent in ("killed", "living"):
        scratch = ScratchSpace(agent, tmp_path / "shared", tmp_path, tmp_path / "none")
        places[agent] = scratch.place("local")
        (places[agent] / "WAVECAR").write_bytes(b"x")
        if agent == "killed":
            os.close(scratch._made.popitem()[1])  # as the kernel does
    foreign = tmp_path / f"stargen-{os.getuid()}-without-lock"
    foreign.mkdir()
    space(tmp_path).sweep()  # elsewhere: touches nothing
    assert places["killed"].exists()
    ScratchSpace("next", tmp_path / "shared", tmp_path, tmp_path / "none").sweep()
    assert not places["killed"].exists()
    assert (places["living"] / "WAVECAR").exists()
    assert foreign.exists()


def test_shared_data_lie_with_the_campaign_where_the_node_has_no_room_for_them(tmp_path):
    (tmp_path / "local").write_text("a file where the folder should be")
    shared = space(tmp_path, ram=tmp_path / "nothing").shared(None)
    assert shared.disk.parent == tmp_path / "shared" / "agent-1"
    assert shared.quota_gib == 0
