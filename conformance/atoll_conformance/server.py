"""The server under test, as the checks see it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec

from atoll_conformance.answer import Answer
from atoll_conformance.profile import Profile
from atoll_conformance.shapes import Show
from atoll_conformance.verdict import Skipped

NOPE = "atoll-conformance-nope"
"""A model that no server has."""
JSON = {"content-type": "application/json"}


class Server:
    """One server and the model that is asked."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        model: str,
        profile: Profile,
        clients: Path | None = None,
    ) -> None:
        self._client = client
        self._capabilities: frozenset[str] | None = None
        self.model = model
        self.profile = profile
        self.clients = clients
        """The environment in which other people's clients are installed."""

    @property
    def url(self) -> httpx.URL:
        """Where it listens."""
        return self._client.base_url

    @property
    def full(self) -> str:
        """The model's name with its tag."""
        return self.model if ":" in self.model.rpartition("/")[2] else f"{self.model}:latest"

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and read its answer; bytes go as they are and without a type."""
        content, given = _content(body)
        request = self._client.build_request(
            method, path, content=content, headers={**given, **(headers or {})}
        )
        came = await self._client.send(request)
        return Answer(came.status_code, dict(came.headers.items()), came.content)

    async def get(self, path: str) -> Answer:
        """GET `path`."""
        return await self.ask("GET", path)

    async def post(self, path: str, /, **fields: object) -> Answer:
        """POST the fields as JSON; `model` is the one under test unless it is given."""
        return await self.ask("POST", path, {"model": self.model, **fields})

    @asynccontextmanager
    async def open(self, path: str, **fields: object) -> AsyncGenerator[httpx.Response, None]:
        """An answer that is not read to its end; leaving it early closes the connection."""
        content, headers = _content({"model": self.model, **fields})
        stream = self._client.stream("POST", path, content=content, headers=headers)
        async with stream as came:
            yield came

    async def abilities(self) -> frozenset[str]:
        """What the model says in /api/show that it can do; asked once."""
        if self._capabilities is None:
            show = (await self.post("/api/show")).ok().json(Show)
            self._capabilities = frozenset(show.capabilities)
        return self._capabilities

    async def able(self, ability: str) -> bool:
        """Whether the model says that it can do this."""
        return ability in await self.abilities()

    async def needs(self, ability: str) -> None:
        """Raise Skipped unless the model has the ability."""
        if not await self.able(ability):
            raise Skipped(f"{self.model} has no capability {ability!r}")

    def cue(self, key: str, prompt: str) -> str:
        """A prompt that only a profile can give; raises Skipped without it."""
        if not prompt:
            raise Skipped(f"a profile must say how to provoke it: key `{key}`")
        return prompt


def _content(body: object) -> tuple[bytes | None, dict[str, str]]:
    if body is None or isinstance(body, bytes):
        return body, {}
    return msgspec.json.encode(body), JSON
