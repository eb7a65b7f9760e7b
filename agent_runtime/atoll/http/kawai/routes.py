"""`POST /chat` and `/stream`: one message to a session, answered whole or watched."""

import asyncio
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
from litestar import asgi
from litestar.enums import ScopeType
from litestar.exceptions import MethodNotAllowedException
from litestar.types import HTTPScope, Receive, Scope, Send

from atoll.errors import ClientError, NotAllowed
from atoll.http.access import agent_of
from atoll.http.asgi import header_of, read_body, require_post, send_answer
from atoll.http.decoding import decode
from atoll.http.hangup import while_connected
from atoll.http.kawai.projection import KawaiProjection, answer_of
from atoll.http.kawai.wire import ChatRequest
from atoll.http.sse import EVENT_STREAM
from atoll.http.turns import NO_BUFFERING
from atoll.loop.live_turn import LiveTurn
from atoll.loop.session_turn import Asked

KEEP_ALIVE = 15.0
"""Seconds of silence after which a stream sends a blank line, which no client of the page minds."""

_decoder = msgspec.json.Decoder(ChatRequest)
_encode = msgspec.json.Encoder().encode


@asgi("/chat", copy_scope=False)
async def chat(scope: Scope, receive: Receive, send: Send) -> None:
    """One message, answered whole; Kawai's and fleet-rlm's `POST /chat`."""
    require_post(scope)
    agent = agent_of(scope["litestar_app"])
    request = decode(_decoder, await read_body(receive))
    live = agent.conversations.begin(asked_by(request))

    async def answer() -> None:
        with live.followed():
            await live.ended()
        info = await agent.sessions.about(live.session_id)
        turns = info.turns if info else 0
        await send_answer(send, 200, _encode(answer_of(live.events, live.session_id, turns)))

    await while_connected(scope, answer())


@asgi("/stream", copy_scope=False)
async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    """One message whose steps come as server-sent events; or the rest of one, by Last-Event-ID."""
    if scope["type"] != ScopeType.HTTP or scope["method"] not in ("GET", "POST"):
        raise MethodNotAllowedException(headers={"Allow": "GET, POST"})
    _refuse_pictures(scope)
    agent = agent_of(scope["litestar_app"])
    conversations = agent.conversations
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    body = await read_body(receive)
    if last := header_of(scope, b"last-event-id"):
        live, number = conversations.rejoined(query.get("session_id", ""), last)
    else:
        request = decode(_decoder, body) if scope["method"] == "POST" else _queried(query)
        live, number = conversations.begin(asked_by(request)), 0
    if live is None:  # by this an EventSource knows that it need not come again
        await send_answer(send, 204, b"")
        return
    with_ids = bool(last) or query.get("ids") in ("1", "true")
    watched = _Watched(live, KawaiProjection(live.session_id, agent.slug), send, with_ids=with_ids)
    await while_connected(scope, watched.follow(number))


def asked_by(request: ChatRequest) -> Asked:
    """What a request asks for; raises ClientError for a file of the server."""
    if request.docs_path:
        raise ClientError("docs_path is not served: send the text of the document in `message`")
    return Asked(
        message=request.message,
        session_id=request.session_id or "",
        max_steps=request.max_steps,
        force_answer=request.force_provide_answer,
    )


class _Watched:
    """One client that watches a turn; `with_ids` for one that can come back for the rest."""

    def __init__(
        self, live: LiveTurn, projection: KawaiProjection, send: Send, *, with_ids: bool
    ) -> None:
        self._live = live
        self._send = send
        self._with_ids = with_ids
        self._projection = projection

    async def follow(self, number: int) -> None:
        """Send the events after that number as they come, until the turn is over."""
        live = self._live
        for _, event, at in live.since(0)[:number]:
            self._projection.events(event, at)  # told already; thinking may have begun in them
        with live.followed():
            await self._start()
            while not (live.is_over and number == len(live.events)):
                number = await self._told_since(number)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _told_since(self, number: int) -> int:
        """Send what there is, then wait for more; the number of the last event sent."""
        for place, event, at in self._live.since(number):
            await self._part(place, self._projection.events(event, at))
            number = place
        try:
            async with asyncio.timeout(KEEP_ALIVE):
                await self._live.wait(number)
        except TimeoutError:
            await self._write(b"\n")
        return number

    async def _part(self, number: int, told: bytes) -> None:
        if told and self._with_ids:
            told = b"id: %s:%d\n%s" % (self._live.id.encode(), number, told)
        if told:
            await self._write(told)

    async def _start(self) -> None:
        headers = [
            (b"content-type", EVENT_STREAM),
            (b"cache-control", b"no-cache"),
            (b"x-session-id", self._live.session_id.encode()),
            NO_BUFFERING,
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})


def _queried(query: Mapping[str, str]) -> ChatRequest:
    """The request in a query, whose numbers and flags are texts."""
    known = {key: query[key] for key in ChatRequest.__struct_fields__ if key in query}
    try:
        return msgspec.convert(known, ChatRequest, strict=False)
    except msgspec.ValidationError as error:
        raise ClientError(f"the query: {error}") from None


def _refuse_pictures(scope: HTTPScope) -> None:
    """A GET that runs an agent: a stranger's page may not send it as the address of a picture.

    A browser sends such a request without an Origin, for which the Guard looks.
    """
    site = header_of(scope, b"sec-fetch-site")
    if site not in ("", "none", "same-origin") and not header_of(scope, b"origin"):
        raise NotAllowed("a page of another site may not start a turn; use EventSource or fetch")
