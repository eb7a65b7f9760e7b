"""What a model gets to see of a request."""

from atoll.config.manifest import Llm
from atoll.core.prompt import conversation, last_question, merged
from atoll.wire.messages import Message, Options


def test_the_manifests_prompt_comes_first_and_the_requests_are_added_to_it() -> None:
    asked = (
        Message(role="system", content="speak French"),
        Message(role="user", content="hello"),
        Message(role="system", content="be short"),
    )
    assert conversation("You are Otto.", asked) == (
        Message(role="system", content="You are Otto.\n\nspeak French"),
        Message(role="user", content="hello"),
        Message(role="system", content="be short"),
    )


def test_nothing_is_added_where_nobody_wrote_a_system_prompt() -> None:
    asked = (Message(role="user", content="hello"),)
    assert conversation("", asked) == asked


def test_every_message_reaches_the_model_in_order() -> None:
    asked = tuple(Message(role="user" if n % 2 else "assistant", content=str(n)) for n in range(20))
    assert conversation("p", asked)[1:] == asked


def test_the_last_question_is_the_last_user_message() -> None:
    asked = (Message(role="user", content="a"), Message(role="assistant", content="b"))
    assert last_question(asked) == "a"
    assert last_question(()) == ""


def test_a_requests_options_override_the_manifests_one_by_one() -> None:
    llm = Llm(temperature=0.2, top_p=0.9, max_tokens=100)
    options = merged(llm, Options(temperature=0.0, seed=3, extra={"num_ctx": 512}))
    assert options == Options(
        temperature=0.0, top_p=0.9, max_tokens=100, seed=3, extra={"num_ctx": 512}
    )
