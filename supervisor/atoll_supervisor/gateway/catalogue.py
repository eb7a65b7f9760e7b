"""What the agents tell of themselves, asked once and kept, so that lists wake and wait for nobody.

Kept as long as the agent's checksum and generation are what they were. One
that is not awake is shown as it was when last seen, and one that was never
awake as its row and its manifest tell.
"""

import asyncio
import hashlib
import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from atoll.errors import AtollError
from atoll.http.ollama.models import tagged
from atoll.http.ollama.wire import Details, ListModel
from atoll.wire.json import JsonObject
from atoll_supervisor.core.row import Row
from atoll_supervisor.gateway.carrier import Carrier, Question
from atoll_supervisor.gateway.states import broke_off, is_awake

LIST_LIMIT = 5.0
"""Seconds a list waits for agents: more than each of them waits for its own back end."""
UNSURE = 15.0
"""Seconds after which an agent is asked again whose back end did not answer it."""


class _RawTags(Struct):
    models: list[Raw]


class _Details(Struct):
    family: str = ""


class _Name(Struct):
    name: str
    details: _Details = msgspec.field(default_factory=_Details)


class Known(Struct, frozen=True):
    """What one agent told: its row of tags and its show, as JSON; `at` is monotonic seconds.

    `is_sure` unless its back end did not tell it what the model is.
    """

    checksum: str
    generation: int
    listed: bytes
    shown: bytes
    is_sure: bool
    at: float


class Catalogue:
    """The agents as models; `headers` go with every question."""

    def __init__(self, carrier: Carrier, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._carrier = carrier
        self._headers = tuple(headers)
        self._known: dict[str, Known] = {}
        self._unseen: dict[str, tuple[str, bytes]] = {}

    async def tags(self, rows: Sequence[Row]) -> bytes:
        """`GET /api/tags` for these agents; those that are awake and not known are asked."""
        asked = [self._tried(row) for row in rows if is_awake(row) and not self._is_known(row)]
        if asked:
            await asyncio.gather(*asked)
        return b'{"models":[%b]}' % b",".join([await self._listed(row) for row in rows])

    async def show(self, row: Row, basename: str = "") -> bytes:
        """`POST /api/show`; an agent that was never seen is woken and waited for.

        `basename` is shown instead of the model's. Raises what `Carrier.ask` does.
        """
        shown = (self._known[row.slug] if self._is_known(row) else await self._learn(row)).shown
        return _renamed(shown, basename) if basename else shown

    def forget_all_but(self, slugs: Collection[str]) -> None:
        """Forget the agents that are no more."""
        for kept in (self._known, self._unseen):
            for slug in kept.keys() - set(slugs):
                del kept[slug]

    def _is_known(self, row: Row) -> bool:
        known = self._known.get(row.slug)
        if known is None or known.checksum != row.checksum:
            return False
        if not is_awake(row):
            return True
        is_recent = known.is_sure or time.monotonic() - known.at < UNSURE
        return is_recent and known.generation == row.generation

    async def _tried(self, row: Row) -> None:
        """Ask for as long as a list may take; what was known, or the row, has to do otherwise."""
        try:
            async with asyncio.timeout(LIST_LIMIT):
                await self._learn(row)
        except (AtollError, TimeoutError):
            return

    async def _learn(self, row: Row) -> Known:
        slug = row.slug
        body = msgspec.json.encode({"model": slug})
        tags = await self._carrier.whole(slug, Question("GET", "/api/tags", self._headers))
        shown = await self._carrier.whole(slug, Question("POST", "/api/show", self._headers, body))
        try:
            listed, is_sure = _own(tags, slug)
        except msgspec.DecodeError as error:
            raise broke_off(slug, f"its list of models: {error}") from None
        known = Known(row.checksum, row.generation, listed, shown, is_sure, time.monotonic())
        self._known[slug] = known
        return known

    async def _listed(self, row: Row) -> bytes:
        known = self._known.get(row.slug)
        if known is not None and known.checksum == row.checksum:
            return known.listed
        checksum, listed = self._unseen.get(row.slug, ("", b""))
        if checksum != row.checksum or not listed:
            listed = await asyncio.to_thread(_from_row, row)
            self._unseen[row.slug] = (row.checksum, listed)
        return listed


def _own(tags: bytes, slug: str) -> tuple[bytes, bool]:
    """The agent's own row among those it lists, and whether it says what its model is."""
    for raw in msgspec.json.decode(tags, type=_RawTags).models:
        row = msgspec.json.decode(raw, type=_Name)
        if row.name == tagged(slug):
            return bytes(raw), bool(row.details.family)
    raise msgspec.DecodeError(f"it does not list {tagged(slug)!r}")


def _from_row(row: Row) -> bytes:
    """An agent that was never awake: no process has told yet what its model is."""
    moment = datetime.fromisoformat(row.started_at) if row.started_at else datetime.now(UTC)
    model = ListModel(
        name=tagged(row.slug),
        model=tagged(row.slug),
        modified_at=moment,
        size=0,
        digest=_digest(row),
        details=Details("", "gguf", "", [], "", ""),
        capabilities=["completion"],
    )
    return msgspec.json.encode(model)


def _digest(row: Row) -> str:
    """The one that the agent itself will show (`atoll.http.ollama.models.digest_of`)."""
    try:
        checksum = hashlib.sha256(Path(row.config_path).read_bytes()).hexdigest()
    except OSError:
        checksum = row.checksum
    return hashlib.sha256(f"{row.slug}\0{checksum}".encode()).hexdigest()


def _renamed(shown: bytes, basename: str) -> bytes:
    show = msgspec.json.decode(shown, type=JsonObject)
    info = show.get("model_info")
    if isinstance(info, dict):
        info["general.basename"] = basename
    return msgspec.json.encode(show)
