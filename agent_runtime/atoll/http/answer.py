"""A finished turn, gathered from its events: what every answer in one piece is made from. Pure."""

from collections.abc import Iterable

from msgspec import Struct

from atoll.http.faults import INTERNAL, TurnFailed
from atoll.wire.events import Event, Failure, Reasoning, RunEnd, Token, ToolCall


class Answer(Struct, frozen=True):
    """All a client may see of a turn; `calls` are those of the client's own tools."""

    text: str
    thinking: str
    calls: tuple[ToolCall, ...]
    end: RunEnd


def gathered(events: Iterable[Event]) -> Answer:
    """Put the pieces together; raises TurnFailed when the turn did."""
    text: list[str] = []
    thinking: list[str] = []
    calls: list[ToolCall] = []
    for event in events:
        match event:
            case Token():
                text.append(event.text)
            case Reasoning():
                thinking.append(event.text)
            case ToolCall(origin="client"):
                calls.append(event)
            case Failure():
                raise TurnFailed(event)
            case RunEnd():
                return Answer("".join(text), "".join(thinking), tuple(calls), event)
            case _:
                pass
    raise TurnFailed(INTERNAL)
