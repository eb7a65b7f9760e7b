"""`POST /api/chat` and `POST /api/generate`.

Raw ASGI handlers, more than twice as fast as Litestar's own (performance.md
section 4); errors go to the application's handlers all the same.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from litestar import asgi
from litestar.types import Receive, Scope, Send

from atoll.errors import ClientError
from atoll.http.access import agent_of
from atoll.http.asgi import read_body, require_post, send_answer
from atoll.http.checks import check_abilities, check_model, required, say_no_logprobs
from atoll.http.decoding import decode
from atoll.http.ollama.context import recalled, remembered
from atoll.http.ollama.keepalive import keep_alive_seconds
from atoll.http.ollama.models import tagged
from atoll.http.ollama.projection import ChatProjection, GenerateProjection, encode
from atoll.http.ollama.requests import (
    chat_decoder,
    chat_turn,
    check_ranges,
    check_raw,
    generate_decoder,
    generate_turn,
)
from atoll.http.ollama.wire import (
    ChatChunk,
    Chunk,
    GenerateChunk,
    MessageOut,
    Request,
)
from atoll.http.turns import Client, Projection, answer_turn
from atoll.loop.agent import KEEP_ALIVE, Agent
from atoll.wire.events import RunEnd
from atoll.wire.messages import Message
from atoll.wire.turn import TurnRequest


@asgi("/api/chat", copy_scope=False)
async def chat(scope: Scope, receive: Receive, send: Send) -> None:
    """A conversation's next answer; without messages, load or unload the model."""
    require_post(scope)
    agent = agent_of(scope["litestar_app"])
    request = decode(chat_decoder, await read_body(receive))
    check_ranges(request)
    model = required(request.model)
    check_model(agent, model)
    if not request.messages:
        empty = MessageOut("assistant", "")
        chunk = ChatChunk(model=model, created_at=_now(), message=empty, done=True)
        await _load(agent, request, chunk, send)
        return
    projection = ChatProjection(model, _now)
    await _answer(agent, request, chat_turn(request), projection, receive, send, _nothing)


@asgi("/api/generate", copy_scope=False)
async def generate(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer to one prompt; without a prompt, load or unload the model."""
    require_post(scope)
    agent = agent_of(scope["litestar_app"])
    request = decode(generate_decoder, await read_body(receive))
    check_ranges(request)
    model = request.model or ""
    check_model(agent, model)
    if not request.prompt:
        chunk = GenerateChunk(model=model, created_at=_now(), response="", done=True)
        await _load(agent, request, chunk, send)
        return
    check_raw(request)
    if request.suffix:
        raise ClientError(f"{tagged(model)} does not support insert")
    turn = generate_turn(request, await recalled(agent.sessions, request.context))
    projection = GenerateProjection(model, _now)

    async def remember(end: RunEnd) -> None:
        if not request.raw:
            told = (*turn.messages, Message(role="assistant", content=end.answer))
            projection.context = await remembered(agent.sessions, told)

    await _answer(agent, request, turn, projection, receive, send, remember)


async def _nothing(_end: RunEnd) -> None:
    """A chat's client remembers by itself."""


async def _answer(
    agent: Agent,
    request: Request,
    turn: TurnRequest,
    projection: Projection,
    receive: Receive,
    send: Send,
    remember: Callable[[RunEnd], Awaitable[None]],
) -> None:
    await check_abilities(agent, turn)
    if request.logprobs:
        say_no_logprobs()
    seconds = _keep_alive(request)

    async def done(end: RunEnd) -> None:
        agent.keep(seconds)
        await remember(end)

    stream = request.stream is not False
    await answer_turn(agent, turn, projection, Client(receive, send), done, stream=stream)


async def _load(agent: Agent, request: Request, chunk: Chunk, send: Send) -> None:
    """An empty request is about the model itself: keep_alive 0 unloads it, anything else loads."""
    seconds = _keep_alive(request)
    if seconds == 0:
        agent.unload()
        chunk.done_reason = "unload"
    else:
        chunk.load_duration = chunk.total_duration = await agent.load(seconds)
        chunk.done_reason = "load"
    await send_answer(send, 200, encode(chunk))


def _keep_alive(request: Request) -> float:
    given = keep_alive_seconds(request.keep_alive)
    return KEEP_ALIVE if given is None else given


def _now() -> datetime:
    return datetime.now(UTC)
