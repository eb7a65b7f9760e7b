"""The fleet as a list of models, in Ollama's words and in OpenAI's."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Raw, Struct

from atoll.errors import AtollError, NotFound
from atoll.http.asgi import read_body
from atoll.http.openai.wire import ModelList, ModelOut
from atoll_supervisor.core.row import Row
from atoll_supervisor.gateway.carrier import Carrier, Question
from atoll_supervisor.gateway.catalogue import Catalogue
from atoll_supervisor.gateway.exchange import Exchange
from atoll_supervisor.gateway.naming import EITHER, PLAIN, Naming, slug_in
from atoll_supervisor.gateway.states import answerable, can_answer, is_awake
from atoll_supervisor.ports import Fleet

PS_LIMIT = 2.0
"""Seconds in which an agent has to say what it has loaded; else it is left out."""

_MODELS = "/v1/models/"


class _RawPs(Struct):
    models: list[Raw]


class _Loaded(Struct):
    expires_at: datetime


class Lists:
    """Answers what is asked about the fleet as a whole, and show."""

    def __init__(
        self, fleet: Fleet, carrier: Carrier, headers: Sequence[tuple[bytes, bytes]]
    ) -> None:
        self._fleet = fleet
        self._carrier = carrier
        self._headers = tuple(headers)
        self._catalogue = Catalogue(carrier, headers)
        self._began = time.time()

    async def tags(self, exchange: Exchange) -> None:
        """`GET /api/tags`: every agent that can answer."""
        await exchange.answer_json(await self._catalogue.tags(self._answering()))

    async def ps(self, exchange: Exchange) -> None:
        """`GET /api/ps`: what the agents that are awake have loaded, the longest-lived first."""
        awake = (row for row in self._answering() if is_awake(row))
        lists = await asyncio.gather(*(self._loaded(row.slug) for row in awake))
        models = sorted((one for each in lists for one in each), key=_expiry, reverse=True)
        await exchange.answer_json(b'{"models":[%b]}' % b",".join(map(bytes, models)))

    async def show(self, exchange: Exchange) -> None:
        """`POST /api/show`: what the agent tells of itself."""
        name = EITHER.name_in(await read_body(exchange.receive))
        row = answerable(known(self._fleet, EITHER, name))
        # Copilot shows the base name as the model's name and would not find what it asked for.
        copilot = exchange.header(b"user-agent").startswith("GitHubCopilotChat/")
        await exchange.answer_json(await self._catalogue.show(row, name if copilot else ""))

    async def models(self, exchange: Exchange) -> None:
        """`GET /v1/models`: every agent that can answer."""
        listed = [self._model(row, row.slug) for row in self._answering()]
        await exchange.answer(ModelList("list", listed))

    async def model(self, exchange: Exchange) -> None:
        """`GET /v1/models/{id}`."""
        name = exchange.path.removeprefix(_MODELS)
        row = answerable(known(self._fleet, PLAIN, name))
        await exchange.answer(self._model(row, name))

    def _answering(self) -> list[Row]:
        """The agents that can answer; what is kept of those that are gone is let go."""
        rows = self._fleet.rows()
        slugs = {row.slug for row in rows}
        self._carrier.forget_all_but(slugs)
        self._catalogue.forget_all_but(slugs)
        return [row for row in rows if can_answer(row)]

    async def _loaded(self, slug: str) -> list[Raw]:
        try:
            async with asyncio.timeout(PS_LIMIT):
                question = Question("GET", "/api/ps", self._headers)
                body = await self._carrier.whole(slug, question)
            return msgspec.json.decode(body, type=_RawPs).models
        except (AtollError, TimeoutError, msgspec.DecodeError):
            return []

    def _model(self, row: Row, name: str) -> ModelOut:
        began = datetime.fromisoformat(row.started_at).timestamp() if row.started_at else 0.0
        return ModelOut(name, "model", int(began or self._began), "library")


def known(fleet: Fleet, naming: Naming, name: str) -> Row:
    """The row of the agent that a client calls `name`; raises the route's own words."""
    slug = slug_in(name)
    try:
        # By slug alone: a service's name has a dot, and no client is to reach one.
        return fleet.row(slug) if slug else _nobody()
    except NotFound:
        raise naming.fault(name) from None


def _nobody() -> Row:
    raise NotFound("no name")


def _expiry(loaded: Raw) -> datetime:
    try:
        return msgspec.json.decode(loaded, type=_Loaded).expires_at
    except msgspec.DecodeError:
        return datetime.fromtimestamp(0, UTC)
