from stargen.carrying import (
    PIECE_BYTES,
    files_of,
    forget,
    pieces_of,
    place_of,
    read_piece,
    take_piece,
)


def test_a_file_comes_over_in_pieces(tmp_path):
    data = bytes(range(256)) * (PIECE_BYTES // 100)
    (tmp_path / "here").write_bytes(data)
    there = tmp_path / "far" / "there"
    whole = []
    for piece in pieces_of(tmp_path / "here"):
        assert len(piece.data) <= PIECE_BYTES
        assert not there.exists(), "it is there whole or not at all"
        whole.append(take_piece(there, piece))
    assert whole == [False, False, True]
    assert there.read_bytes() == data
    assert [path.name for path in there.parent.iterdir()] == ["there"]


def test_an_empty_file_is_one_piece_and_a_missing_one_none(tmp_path):
    (tmp_path / "empty").touch()
    (piece,) = pieces_of(tmp_path / "empty")
    assert take_piece(tmp_path / "copy", piece)
    assert (tmp_path / "copy").read_bytes() == b""
    assert list(pieces_of(tmp_path / "nothing")) == []


def test_what_was_begun_before_is_overwritten(tmp_path):
    (tmp_path / "long").write_bytes(b"x" * 100)
    (tmp_path / "short").write_bytes(b"y")
    take_piece(tmp_path / "to", read_piece(tmp_path / "long", 0)._replace(last=False))
    take_piece(tmp_path / "to", read_piece(tmp_path / "short", 0))
    assert (tmp_path / "to").read_bytes() == b"y"


def test_a_folder_is_all_files_below_it(tmp_path):
    (tmp_path / "weights" / "one").mkdir(parents=True)
    (tmp_path / "weights" / "one" / "a.npy").write_bytes(b"12345")
    (tmp_path / "weights" / "b").touch()
    assert [(row.below, row.size) for row in files_of(tmp_path / "weights")] == [
        ("b", 0),
        ("one/a.npy", 5),
    ]
    assert [row.below for row in files_of(tmp_path / "weights" / "b")] == [""]
    assert files_of(tmp_path / "nothing") == []


def test_inputs_of_one_name_in_two_folders_are_apart(tmp_path):
    assert place_of(tmp_path, "a/t.npy") != place_of(tmp_path, "b/t.npy")
    assert place_of(tmp_path, "a/t.npy").name == "t.npy"


def test_a_checkpoint_is_forgotten_whole(tmp_path):
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "state").touch()
    forget(tmp_path / "3")
    assert not (tmp_path / "3").exists()
    forget(tmp_path / "3")
