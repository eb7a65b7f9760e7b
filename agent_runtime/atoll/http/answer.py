"""A finished turn, gathered from its events: what every answer in one piece is made from. Pure."""

from collections.abc import Iterable

from msgspec import Struct

from atoll.http.faults import TurnFailed
from atoll.wire.events import INTERNAL, Event, Failure, Reasoning, RunEnd, Token, ToolCall
from atoll.wire.logprobs import Logprob


class Answer(Struct, frozen=True):
    """All a client may see of a turn; `calls` are those of the client's own tools.

    `logprobs` are those of thinking and text in their order, as Ollama puts them together.
    """

    text: str
    thinking: str
    calls: tuple[ToolCall, ...]
    end: RunEnd
    logprobs: tuple[Logprob, ...] = ()


def gathered(events: Iterable[Event]) -> Answer:
    """Put the pieces together; raises TurnFailed when the turn did."""
    text: list[str] = []
    thinking: list[str] = []
    calls: list[ToolCall] = []
    logprobs: list[Logprob] = []
    for event in events:
        match event:
            case Token():
                text.append(event.text)
                logprobs += event.logprobs
            case Reasoning():
                thinking.append(event.text)
                logprobs += event.logprobs
            case ToolCall(origin="client"):
                calls.append(event)
            case Failure():
                raise TurnFailed(event)
            case RunEnd():
                said, thought = "".join(text), "".join(thinking)
                return Answer(said, thought, tuple(calls), event, tuple(logprobs))
            case _:
                pass
    raise TurnFailed(INTERNAL)
