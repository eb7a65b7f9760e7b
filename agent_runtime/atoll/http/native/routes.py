"""`POST /api/v1/turns`: one turn, told event by event to its end."""

from typing import Annotated, Literal

import msgspec
from litestar import asgi
from litestar.types import Receive, Scope, Send
from msgspec import Meta, Struct

from atoll.http.access import agent_of
from atoll.http.asgi import read_body, require_post
from atoll.http.decoding import decode
from atoll.http.native.projection import NativeProjection
from atoll.http.turns import Client, answer_turn
from atoll.wire.events import RunEnd
from atoll.wire.messages import Message
from atoll.wire.turn import TurnRequest


class Said(Struct, frozen=True, forbid_unknown_fields=True):
    """One message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: str


class TurnBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The conversation up to the message that is to be answered; nothing of it is kept."""

    messages: Annotated[tuple[Said, ...], Meta(min_length=1)]
    max_steps: Annotated[int, Meta(ge=1)] | None = None
    force_answer: bool = True


_decoder = msgspec.json.Decoder(TurnBody)


@asgi("/api/v1/turns", copy_scope=False)
async def turns(scope: Scope, receive: Receive, send: Send) -> None:
    """The events of one turn as NDJSON; a client that hangs up ends it."""
    require_post(scope)
    agent = agent_of(scope["litestar_app"])
    body = decode(_decoder, await read_body(receive))
    request = TurnRequest(
        model=agent.slug,
        messages=tuple(Message(role=one.role, content=one.content) for one in body.messages),
        max_steps=body.max_steps,
        force_answer=body.force_answer,
    )
    client = Client(scope, send)
    await answer_turn(agent, request, NativeProjection(), client, _nothing, stream=True)


async def _nothing(_end: RunEnd) -> None:
    """Nothing follows from it."""
