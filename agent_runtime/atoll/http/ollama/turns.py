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
from atoll.http.checks import check_abilities, check_model, check_top_logprobs, required
from atoll.http.decoding import decode
from atoll.http.ollama.context import recalled, remembered
from atoll.http.ollama.models import tagged
from atoll.http.ollama.projection import ChatProjection, GenerateProjection, encode
from atoll.http.ollama.requests import (
    chat_decoder,
    chat_turn,
    check_raw,
    generate_decoder,
    generate_turn,
)
from atoll.http.ollama.wire import (
    ChatChunk,
    Chunk,
    GenerateChunk,
    GenerateRequest,
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
    check_top_logprobs(request.top_logprobs)
    model = required(request.model)
    check_model(agent, model)
    turn = chat_turn(request)
    if not request.messages:
        empty = MessageOut("assistant", "")
        chunk = ChatChunk(model=model, created_at=_now(), message=empty, done=True)
        await _load(agent, turn, chunk, send)
        return
    await check_abilities(agent, turn)
    projection = ChatProjection(model, _now)
    await _answer(agent, request, turn, projection, Client(scope, send), _nothing)


@asgi("/api/generate", copy_scope=False)
async def generate(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer to one prompt; without a prompt, load or unload the model."""
    require_post(scope)
    agent = agent_of(scope["litestar_app"])
    request = decode(generate_decoder, await read_body(receive))
    check_top_logprobs(request.top_logprobs)
    model = request.model or ""
    check_model(agent, model)
    check_raw(request)
    if not request.prompt:
        chunk = GenerateChunk(model=model, created_at=_now(), response="", done=True)
        await _load(agent, generate_turn(request, ()), chunk, send)
        return
    turn = await _able(agent, request)
    projection = GenerateProjection(model, _now)

    async def remember(end: RunEnd) -> None:
        if turn.raw_prompt is None:
            told = (*turn.messages, Message(role="assistant", content=end.answer))
            projection.context = await remembered(agent.sessions, told)

    await _answer(agent, request, turn, projection, Client(scope, send), remember)


async def _able(agent: Agent, request: GenerateRequest) -> TurnRequest:
    """The turn; raises ClientError for one that the model cannot do."""
    if request.suffix and "insert" not in (await agent.describe()).capabilities:
        raise ClientError(f"{tagged(request.model or '')} does not support insert")
    turn = generate_turn(request, await recalled(agent.sessions, request.context))
    await check_abilities(agent, turn, "generate")
    return turn


async def _nothing(_end: RunEnd) -> None:
    """A chat's client remembers by itself."""


async def _answer(
    agent: Agent,
    request: Request,
    turn: TurnRequest,
    projection: Projection,
    client: Client,
    remember: Callable[[RunEnd], Awaitable[None]],
) -> None:
    seconds = _seconds(turn)

    async def done(end: RunEnd) -> None:
        agent.keep(seconds)
        await remember(end)

    stream = request.stream is not False
    await answer_turn(agent, turn, projection, client, done, stream=stream)


async def _load(agent: Agent, turn: TurnRequest, chunk: Chunk, send: Send) -> None:
    """An empty request is about the model itself: keep_alive 0 unloads it, anything else loads."""
    seconds = _seconds(turn)
    if seconds == 0:
        agent.unload()
        chunk.done_reason = "unload"
    else:
        await check_abilities(agent, turn, "chat" if isinstance(chunk, ChatChunk) else "generate")
        chunk.load_duration = chunk.total_duration = await agent.load(seconds)
        chunk.done_reason = "load"
    await send_answer(send, 200, encode(chunk))


def _seconds(turn: TurnRequest) -> float:
    return KEEP_ALIVE if turn.keep_alive is None else turn.keep_alive


def _now() -> datetime:
    return datetime.now(UTC)
