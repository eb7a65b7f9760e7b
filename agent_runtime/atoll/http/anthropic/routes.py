"""`POST /v1/messages`.

Every answer carries its id in the header `request-id`, errors also in the body:
Anthropic's clients show it with each error.
"""

import secrets

import msgspec
from litestar import asgi
from litestar.types import Message, Receive, Scope, Send

from atoll.errors import AtollError
from atoll.http.access import agent_of
from atoll.http.anthropic.projection import MessageProjection
from atoll.http.anthropic.requests import decoder, message_turn
from atoll.http.asgi import read_body, require_post, send_answer
from atoll.http.checks import check_abilities, check_model, required
from atoll.http.decoding import decode
from atoll.http.faults import TurnFailed, anthropic_error, failure_of
from atoll.http.turns import Client, answer_turn
from atoll.loop.agent import KEEP_ALIVE, Agent
from atoll.wire.events import RunEnd
from atoll.wire.turn import TurnRequest


@asgi("/v1/messages", copy_scope=False)
async def messages(scope: Scope, receive: Receive, send: Send) -> None:
    """A conversation's next answer."""
    require_post(scope)
    request_id = f"req_{secrets.token_hex(12)}"
    client = Client(scope, _stamped(send, request_id))
    try:
        body = await read_body(receive)
        await _answer(agent_of(scope["litestar_app"]), body, client, request_id)
    except (AtollError, TurnFailed) as error:
        failure = failure_of(error)
        body = anthropic_error(failure, request_id)
        await send_answer(client.send, failure.status, body)


async def _answer(agent: Agent, body: bytes, client: Client, request_id: str) -> None:
    request = decode(decoder, body)
    model = required(request.model)
    check_model(agent, model)
    turn = await _relaxed(agent, message_turn(request))
    await check_abilities(agent, turn)

    async def done(_end: RunEnd) -> None:
        agent.keep(KEEP_ALIVE)

    projection = MessageProjection(f"msg_{secrets.token_hex(12)}", model, request_id)
    await answer_turn(agent, turn, projection, client, done, stream=request.stream is True)


async def _relaxed(agent: Agent, turn: TurnRequest) -> TurnRequest:
    """The turn without thinking where the model cannot: clients ask for it unasked (1.4)."""
    if turn.think and "thinking" not in (await agent.describe()).capabilities:
        return msgspec.structs.replace(turn, think=None)
    return turn


def _stamped(send: Send, request_id: str) -> Send:
    """`send` with the request's id among the headers."""

    async def stamped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"request-id", request_id.encode())]
        await send(message)

    return stamped
