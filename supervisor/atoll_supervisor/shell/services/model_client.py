"""Speaks to the servers of services: completions, models, metrics.

A server is not trusted with our memory or our time: no more of an answer is
read than any good one has, and redirects are not followed.
"""

import asyncio

import msgspec
from msgspec import Struct

from atoll.adapters.lean_httpx import httpx
from atoll_supervisor.core.services.prompt import (
    NO_TEMPLATE,
    UNREADABLE,
    Answered,
    Endpoint,
    NotAnswered,
    Prompt,
    Refused,
    WentWrong,
    answer_of,
    body_of,
    complaint_of,
    failed,
    no_models,
    not_ready,
    path_of,
)
from atoll_supervisor.core.services.record import Record

PROMPT_LIMIT, LOOK_LIMIT, CONNECT_LIMIT = 600.0, 10.0, 5.0
"""Seconds for a whole answer to a prompt, for one to a question about itself, for a connection."""
MOST_READ = 16 * 1024 * 1024
"""Bytes of an answer."""
MOST_METRICS = 4 * 1024 * 1024
AT_ONCE = 1000
"""Connections to all services together."""
CLIENTS_FAULT = frozenset({400, 404, 413, 422})
"""What servers answer to a request that is wrong itself; the others are between them and us."""
_UNREACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model] = []


class _Got(Struct, frozen=True):
    """An answer that was read to its end."""

    status: int
    body: bytes

    @property
    def said(self) -> str:
        """What it says went wrong."""
        redirect = "a redirect, which is not followed" if 300 <= self.status < 400 else ""
        return f"{self.status}: {complaint_of(self.body) or redirect or 'no word'}"


class _TooMuch(Exception):
    """An answer goes on beyond what any good one has."""


_BROKEN_OFF = (httpx.RequestError, TimeoutError, _TooMuch)


class ModelClient:
    """One client for all services; it shows each server the key that it was started with."""

    def __init__(self) -> None:
        self._http: httpx.AsyncClient | None = None

    async def prompt(self, record: Record, prompt: Prompt) -> Answered | NotAnswered:
        """Ask as a chat; a model without a chat template is asked for a completion."""
        try:
            async with asyncio.timeout(PROMPT_LIMIT):
                return await self._prompt(record, prompt)
        except _UNREACHED as error:
            return not_ready(record, _why(record, error))
        except _BROKEN_OFF as error:
            return failed(record, _why(record, error), kind=WentWrong)
        except UNREADABLE as error:
            said = f"the model server answered nonsense: {error}"
            return failed(record, said, kind=WentWrong)

    async def models(self, record: Record) -> tuple[str, ...] | NotAnswered:
        """The names of its models."""
        try:
            got = await self._get(record, "/v1/models", MOST_READ)
            if got.status != 200:
                return no_models(record, got.said)
            return tuple(one.id for one in msgspec.json.decode(got.body, type=_Models).data)
        except _UNREACHED as error:
            return not_ready(record, _why(record, error))
        except _BROKEN_OFF as error:
            return no_models(record, _why(record, error))
        except UNREADABLE as error:
            return no_models(record, f"the model server answered nonsense: {error}")

    async def metrics(self, record: Record) -> str:
        """What it says of itself; a comment of the format where it says nothing that is text."""
        try:
            got = await self._get(record, record.order.metrics, MOST_METRICS)
            return got.body.decode() if got.status == 200 else _left_out(got.said)
        except _BROKEN_OFF as error:
            return _left_out(_why(record, error))
        except UnicodeDecodeError:
            return _left_out("they are no text")

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()

    async def _prompt(self, record: Record, prompt: Prompt) -> Answered | NotAnswered:
        model = prompt.model or await self._first_model(record)
        got = await self._post(record, prompt, model, "chat")
        if got.status != 400 or NO_TEMPLATE not in complaint_of(got.body).lower():
            return _read(record, got, "chat")
        return _read(record, await self._post(record, prompt, model, "completions"), "completions")

    async def _first_model(self, record: Record) -> str:
        found = await self.models(record)
        return found[0] if isinstance(found, tuple) and found else ""

    async def _post(self, record: Record, prompt: Prompt, model: str, endpoint: Endpoint) -> _Got:
        body = msgspec.json.encode(body_of(prompt, model, endpoint))
        headers = {**_headers(record), "Content-Type": "application/json"}
        url = f"{record.url}{path_of(endpoint)}"
        request = self._client().build_request("POST", url, content=body, headers=headers)
        return await self._got(request, MOST_READ)

    async def _get(self, record: Record, path: str, most: int) -> _Got:
        url = f"{record.url}{path}"
        request = self._client().build_request("GET", url, headers=_headers(record))
        async with asyncio.timeout(LOOK_LIMIT):
            return await self._got(request, most)

    async def _got(self, request: httpx.Request, most: int) -> _Got:
        """The answer, read as it comes: its length is not known before."""
        answer = await self._client().send(request, stream=True)
        try:
            body = bytearray()
            async for part in answer.aiter_raw():  # a little of it, unpacked, fills a memory
                body += part
                if len(body) > most:
                    raise _TooMuch(f"its answer goes on after {most} bytes")
            return _Got(answer.status_code, bytes(body))
        finally:
            await answer.aclose()

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            timeout = httpx.Timeout(PROMPT_LIMIT, connect=CONNECT_LIMIT)
            limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=20)
            self._http = httpx.AsyncClient(
                timeout=timeout, limits=limits, trust_env=False, verify=False
            )
        return self._http


def _headers(record: Record) -> dict[str, str]:
    return {"Authorization": f"Bearer {record.key}", "Accept-Encoding": "identity"}


def _read(record: Record, got: _Got, endpoint: Endpoint) -> Answered | NotAnswered:
    if got.status == 503:
        return not_ready(record, got.said)
    if got.status != 200:
        kind = Refused if got.status in CLIENTS_FAULT else WentWrong
        return failed(record, got.said, kind=kind, fell_back=endpoint == "completions")
    return answer_of(record, got.body, endpoint)


def _left_out(why: str) -> str:
    return f"# The server's own metrics are left out: {why}\n"


def _why(record: Record, error: Exception) -> str:
    words = "Connection refused" if isinstance(error, httpx.ConnectError) else str(error)
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        words = "no answer in time"
    return f"{words or type(error).__name__} at {record.host}:{record.port}"
