import json

from stargen.journal.segments import segment_path


def test_show_prints_the_records(stargen, campaign):
    lines = stargen("journal", "show").out.splitlines()
    assert len(lines) == 8
    assert "EpochStarted epoch=1, host=host, pid=42" in lines[0]
    assert lines[0].split()[0] == "1"
    assert len(stargen("journal", "show", "--last", "2").out.splitlines()) == 2
    assert len(stargen("journal", "show", "--after", "5").out.splitlines()) == 3
    last = json.loads(stargen("journal", "show", "--json").out.splitlines()[-1])
    assert last == {"position": 8, "kind": "Alerted", "at": 1007.0, "text": "the disk is slow"}


def test_verify_says_that_a_journal_is_sound(stargen, campaign):
    answer = stargen("journal", "verify", "-c", "salts")
    assert answer.code == 0
    assert "sound, 8 records" in answer.out
    assert json.loads(stargen("journal", "verify", "--json").out)["ok"] is True


def test_verify_says_where_a_journal_is_damaged(stargen, campaign):
    path = segment_path(campaign.journal, 1)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    answer = stargen("journal", "verify")
    assert answer.code == 1
    assert "DAMAGED" in answer.out
    assert f"{path.name} at byte" in answer.out
    assert json.loads(stargen("journal", "verify", "--json").out)["ok"] is False
