"""Speaks to the servers of services: completions, models, metrics."""

import msgspec
from msgspec import Struct

from atoll.adapters.lean_httpx import httpx
from atoll_supervisor.core.services.prompt import (
    NO_TEMPLATE,
    Answered,
    Endpoint,
    NotAnswered,
    Prompt,
    answer_of,
    body_of,
    complaint_of,
    not_ready,
    path_of,
    went_wrong,
)
from atoll_supervisor.core.services.record import Record

LIMIT, CONNECT_LIMIT = 600.0, 5.0
"""Seconds for a whole answer, and for a connection."""
MOST_METRICS = 4 * 1024 * 1024


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model] = []


class ModelClient:
    """One client for all services; it shows each server the key that it was started with."""

    def __init__(self) -> None:
        self._http: httpx.AsyncClient | None = None

    async def prompt(self, record: Record, prompt: Prompt) -> Answered | NotAnswered:
        """Ask as a chat; a model without a chat template is asked for a completion."""
        try:
            model = prompt.model or await self._first_model(record)
            answer = await self._post(record, prompt, model, "chat")
            if answer.status_code != 400 or NO_TEMPLATE not in complaint_of(answer.content):
                return _read(record, answer, "chat")
            return _read(
                record, await self._post(record, prompt, model, "completions"), "completions"
            )
        except httpx.TransportError as error:
            return not_ready(record, _why(record, error))
        except msgspec.MsgspecError as error:
            return went_wrong(
                record, f"the model server answered nonsense: {error}", fell_back=False
            )

    async def models(self, record: Record) -> tuple[str, ...] | NotAnswered:
        """The names of its models."""
        try:
            answer = await self._get(record, "/v1/models")
            if answer.status_code != 200:
                return went_wrong(record, complaint_of(answer.content), fell_back=False)
            return tuple(one.id for one in msgspec.json.decode(answer.content, type=_Models).data)
        except httpx.TransportError as error:
            return not_ready(record, _why(record, error))
        except msgspec.MsgspecError as error:
            return went_wrong(record, str(error), fell_back=False)

    async def metrics(self, record: Record) -> str:
        """What it says of itself, "" when it says nothing."""
        try:
            answer = await self._get(record, record.order.metrics)
        except httpx.TransportError:
            return ""
        return (
            answer.text if answer.status_code == 200 and len(answer.content) < MOST_METRICS else ""
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()

    async def _first_model(self, record: Record) -> str:
        found = await self.models(record)
        return found[0] if isinstance(found, tuple) and found else ""

    async def _post(
        self, record: Record, prompt: Prompt, model: str, endpoint: Endpoint
    ) -> httpx.Response:
        body = msgspec.json.encode(body_of(prompt, model, endpoint))
        headers = {**_headers(record), "Content-Type": "application/json"}
        url = f"{record.url}{path_of(endpoint)}"
        return await self._client().post(url, content=body, headers=headers)

    async def _get(self, record: Record, path: str) -> httpx.Response:
        return await self._client().get(f"{record.url}{path}", headers=_headers(record))

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            timeout = httpx.Timeout(LIMIT, connect=CONNECT_LIMIT)
            self._http = httpx.AsyncClient(timeout=timeout, trust_env=False, verify=False)
        return self._http


def _headers(record: Record) -> dict[str, str]:
    return {"Authorization": f"Bearer {record.key}"}


def _read(record: Record, answer: httpx.Response, endpoint: Endpoint) -> Answered | NotAnswered:
    if answer.status_code == 503:
        return not_ready(record, complaint_of(answer.content))
    if answer.status_code != 200:
        said = f"{answer.status_code}: {complaint_of(answer.content)}"
        return went_wrong(record, said, fell_back=endpoint == "completions")
    return answer_of(record, answer.content, endpoint)


def _why(record: Record, error: httpx.TransportError) -> str:
    words = "Connection refused" if isinstance(error, httpx.ConnectError) else str(error)
    return f"{words or type(error).__name__} at {record.host}:{record.port}"
