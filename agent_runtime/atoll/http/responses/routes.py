"""`POST /v1/responses`."""

import secrets
import time

from litestar import asgi
from litestar.types import Receive, Scope, Send

from atoll.http.access import agent_of
from atoll.http.asgi import read_body, require_post
from atoll.http.checks import check_abilities, check_model, required
from atoll.http.decoding import decode
from atoll.http.responses.objects import ReasoningOut, ResponseOut, TextOut
from atoll.http.responses.projection import ResponseProjection
from atoll.http.responses.requests import decoder, response_turn
from atoll.http.responses.wire import ResponseRequest, TextFormat
from atoll.http.turns import Client, answer_turn
from atoll.loop.agent import KEEP_ALIVE
from atoll.wire.events import RunEnd


@asgi("/v1/responses", copy_scope=False)
async def responses(scope: Scope, receive: Receive, send: Send) -> None:
    """A conversation's next answer, of which nothing is stored."""
    require_post(scope)
    agent = agent_of(scope["litestar_app"])
    request = decode(decoder, await read_body(receive))
    model = required(request.model)
    check_model(agent, model)
    turn = response_turn(request)
    await check_abilities(agent, turn)

    async def done(_end: RunEnd) -> None:
        agent.keep(KEEP_ALIVE)

    projection = ResponseProjection(_frame(request, model))
    stream = request.stream is True
    await answer_turn(agent, turn, projection, Client(scope, send), done, stream=stream)


def _frame(request: ResponseRequest, model: str) -> ResponseOut:
    """The response before anything is said: what was asked for, repeated."""
    asked = request.text.format if request.text else None
    return ResponseOut(
        id=f"resp_{secrets.token_hex(12)}",
        created_at=int(time.time()),
        instructions=request.instructions,
        max_output_tokens=request.max_output_tokens,
        metadata=request.metadata or {},
        model=model,
        parallel_tool_calls=request.parallel_tool_calls is not False,
        reasoning=ReasoningOut(request.reasoning.effort if request.reasoning else None),
        temperature=request.temperature,
        text=TextOut(asked or TextFormat("text")),
        tool_choice=request.tool_choice or "auto",
        tools=tuple(request.tools or ()),
        top_p=request.top_p,
    )
