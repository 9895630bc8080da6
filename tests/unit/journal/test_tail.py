from __future__ import annotations

import pytest

from stargen.errors import JournalCorrupt, JournalError
from stargen.journal.framing import HEAD_SIZE, HEADER_SIZE, MARK_SIZE
from stargen.journal.tail import Group, Tail
from stargen.model import Location


@pytest.fixture
def groups() -> list[Group]:
    return []


@pytest.fixture
def tail(groups: list[Group]) -> Tail:
    tail = Tail(3, 10, 300, lambda: groups.append(tail.close()))
    return tail


def test_frames_have_their_places_at_once(tail: Tail):
    first = HEADER_SIZE + MARK_SIZE + HEAD_SIZE
    assert tail.append_payload([b"ab", b"cde"]) == Location(3, first, 5)
    assert tail.append(b"record") == 11
    after = first + 5 + HEAD_SIZE + 6 + HEAD_SIZE
    assert tail.append_payload([b"f"]) == Location(3, after, 1)
    assert tail.entry(Location(3, first + 2, 3)) == b"cde"


def test_a_closed_group_says_what_it_holds_and_the_next_follows(tail: Tail):
    tail.append(b"one")
    group = tail.close()
    assert (group.segment, group.offset, group.before, group.position) == (3, HEADER_SIZE, 10, 11)
    assert tail.is_empty
    tail.append(b"two")
    following = tail.close()
    assert (following.offset, following.before, following.position) == (group.end, 11, 12)


def test_a_frame_without_room_closes_the_group_and_begins_a_segment(
    tail: Tail, groups: list[Group]
):
    tail.append(b"x" * 150)
    location = tail.append_payload([b"y" * 150])
    assert location == Location(4, HEADER_SIZE + MARK_SIZE + HEAD_SIZE, 150)
    assert [(group.segment, group.position) for group in groups] == [(3, 11)]
    assert groups[0].entry(location) is None
    assert tail.entry(location) == b"y" * 150


def test_an_entry_elsewhere_is_not_here_and_one_across_the_end_is_damage(tail: Tail):
    location = tail.append_payload([b"abc"])
    assert tail.entry(location._replace(segment=2)) is None
    assert tail.entry(location._replace(offset=HEADER_SIZE - 1)) is None
    assert tail.entry(location._replace(offset=location.offset + 3)) is None
    with pytest.raises(JournalCorrupt, match="an entry of 4 bytes"):
        tail.entry(location._replace(size=4))


def test_a_tail_that_refuses_raises_what_it_was_told(tail: Tail):
    tail.refuse(JournalError("over"))
    with pytest.raises(JournalError, match="over"):
        tail.append(b"")
    with pytest.raises(JournalError, match="over"):
        tail.append_payload([])
