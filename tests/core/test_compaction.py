"""When the oldest part of a session becomes a summary, and what is asked for."""

from itertools import pairwise

import msgspec
import pytest

from atoll.core.compaction import KEPT, SUMMARY, condensed, due, most_tokens, shown, wish
from atoll.core.history import size_of
from atoll.wire.memory import Memory, Summary
from atoll.wire.messages import Message

ROOM = 4000
QUESTION = Message(role="user", content="?" * 100)


def session(exchanges: int, size: int = 500, **fields: object) -> Memory:
    """Exchanges of so many characters each, told apart by their number."""
    messages = [
        Message(role=role, content=f"{number} {role} ".ljust(size // 2, "."))
        for number in range(exchanges)
        for role in ("user", "assistant")
    ]
    return msgspec.convert({"messages": messages, **fields}, Memory, from_attributes=True)


def test_what_fits_is_shown_as_it_is() -> None:
    memory = session(7)
    assert due(memory, QUESTION, ROOM) == 0
    assert shown(memory) == memory.messages


def test_what_does_not_fit_leaves_half_of_the_room_word_by_word() -> None:
    memory = session(8)
    covers = due(memory, QUESTION, ROOM)
    assert covers == 10, "3 of 8 exchanges and the question are at most 2000 characters"
    rest = (*memory.messages[covers:], QUESTION)
    assert size_of(rest) <= ROOM * KEPT


def test_a_session_that_goes_on_is_compacted_rarely() -> None:
    """Not on every turn: each time, about a third of the room has been talked."""
    memory, times = Memory(), []
    for turn in range(60):
        if covers := due(memory, QUESTION, ROOM):
            times.append(turn)
            text = "s" * int(ROOM * SUMMARY)
            memory = msgspec.structs.replace(memory, summary=condensed(memory, covers, text))
            assert size_of((*shown(memory), QUESTION)) <= ROOM
        memory = msgspec.structs.replace(memory, messages=(*memory.messages, *session(1).messages))
    assert len(memory.messages) == 120, "nothing stored is shortened"
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps
    assert min(gaps) >= 2


def test_the_summary_is_one_system_message_and_what_it_covers_is_not_shown() -> None:
    memory = session(8, summary=Summary(text="They spoke of Turku.", covers=10))
    first, *rest = shown(memory)
    assert first.role == "system"
    assert first.content.endswith("They spoke of Turku.")
    assert tuple(rest) == memory.messages[10:]


def test_the_next_summary_is_made_of_the_last_one_and_what_came_after() -> None:
    memory = session(14, summary=Summary(text="They spoke of Turku.", covers=10))
    covers = due(memory, QUESTION, ROOM)
    assert covers == 22
    system, user = wish(memory, covers, ROOM)
    assert (system.role, user.role) == ("system", "user")
    assert "They spoke of Turku." in user.content
    assert "user: 5 user" in user.content
    assert "assistant: 10 assistant" in user.content
    assert "4 user" not in user.content, "that is in the summary already"
    assert "11 user" not in user.content, "that is still shown word by word"


def test_no_more_is_asked_than_the_model_can_read() -> None:
    """A session that was never compacted, on a model of a smaller context."""
    memory = session(40)
    covers = due(memory, QUESTION, ROOM)
    assert 0 < covers < 20
    assert size_of(wish(memory, covers, ROOM)) <= ROOM + 100
    assert most_tokens(ROOM) == 200


@pytest.mark.parametrize("room", [-5, 0, 1, 100])
def test_a_room_too_small_for_the_question_asks_for_nothing(room: int) -> None:
    assert due(session(8), QUESTION, room) == 0


def test_one_exchange_that_is_too_long_is_left_to_the_window() -> None:
    assert due(session(3, size=2 * ROOM), QUESTION, ROOM) == 0


@pytest.mark.parametrize("text", ["", " \n", "x" * 6000])
def test_a_model_that_cannot_is_asked_again_when_the_session_is_twice_as_long(text: str) -> None:
    """It said nothing, or more than it was given."""
    memory = session(10)
    summary = condensed(memory, due(memory, QUESTION, ROOM), text)
    assert summary == Summary(tried=20)
    assert due(session(10, summary=summary), QUESTION, ROOM) == 0
    assert due(session(19, summary=summary), QUESTION, ROOM) == 0
    assert due(session(20, summary=summary), QUESTION, ROOM) > 0


def test_a_summary_that_fails_leaves_the_one_before() -> None:
    memory = session(14, summary=Summary(text="They spoke of Turku.", covers=10))
    assert condensed(memory, 22, "") == Summary(text="They spoke of Turku.", covers=10, tried=28)
