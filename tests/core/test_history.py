"""Which part of a conversation a model is shown."""

import pytest

from atoll.core.history import fitted
from atoll.wire.messages import Message

SYSTEM = Message(role="system", content="s" * 10)


def exchange(size: int) -> tuple[Message, Message]:
    return Message(role="user", content="q"), Message(role="assistant", content="a" * (size - 1))


LONG = (SYSTEM, *exchange(100), *exchange(100), *exchange(100))


def test_what_fits_is_shown_whole() -> None:
    assert fitted(LONG, 200) == (LONG, 0)


def test_of_an_unknown_context_everything_is_shown() -> None:
    assert fitted(LONG, 0) == (LONG, 0)


@pytest.mark.parametrize(("context", "left_out"), [(103, 2), (71, 2), (69, 4), (37, 4), (1, 4)])
def test_the_oldest_exchanges_leave_whole_and_system_messages_stay(
    context: int, left_out: int
) -> None:
    """Three quarters of 4 characters a token: 309, 213, 207, 111 and 3 characters."""
    shown, count = fitted(LONG, context)
    assert (shown, count) == ((SYSTEM, *LONG[1 + left_out :]), left_out)


def test_the_last_exchange_stays_even_if_it_does_not_fit() -> None:
    alone = exchange(1000)
    assert fitted(alone, 1) == (alone, 0)


def test_a_conversation_that_begins_with_an_answer_has_that_as_its_first_exchange() -> None:
    greeting = Message(role="assistant", content="g" * 100)
    shown, count = fitted((greeting, *exchange(100)), 40)
    assert (shown[0].role, count) == ("user", 1)
