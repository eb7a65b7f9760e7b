"""Runs rows one after the other against one server; whatever it does, each gets a verdict."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

import httpx
from msgspec import Struct

from atoll_conformance.answer import Answer
from atoll_conformance.profile import Profile
from atoll_conformance.rows import Row
from atoll_conformance.server import Server
from atoll_conformance.shapes import Tags
from atoll_conformance.verdict import Fail, NotApplicable, Pass, Skipped, Verdict, Wrong, shortened

LIMIT = 120.0
"""Seconds that one row may take."""


class Outcome(Struct, frozen=True):
    """A row and what it came to."""

    row: Row
    verdict: Verdict


class Target(Struct, frozen=True):
    """The server, the model that is asked, and how long a row may take in seconds.

    `clients` is the environment in which other people's clients are installed.
    """

    url: str
    model: str
    profile: Profile = Profile()
    limit: float = LIMIT
    clients: Path | None = None


async def run_suite(target: Target, rows: Iterable[Row]) -> AsyncGenerator[Outcome, None]:
    """Each row's outcome as it is known; never raises for what a server does."""
    async with _client(target.url, target.limit) as client:
        server = Server(client, target.model, target.profile, target.clients)
        for row in rows:
            yield Outcome(row, await judged(row, server, target.limit))


async def judged(row: Row, server: Server, limit: float) -> Verdict:
    """The verdict of one row within `limit` seconds."""
    try:
        async with asyncio.timeout(limit):
            await row.check(server)
    except Wrong as wrong:
        return Fail(wrong.expected, wrong.came)
    except Skipped as skipped:
        return NotApplicable(str(skipped))
    except TimeoutError:
        return Fail(row.expected, f"nothing final within {limit:g} s")
    except Exception as error:  # noqa: BLE001  a server may answer anything, and the run goes on
        return Fail(row.expected, _told(error))
    return Pass()


async def first_model(url: str, limit: float) -> str:
    """The name of the first model that the server lists; raises Wrong when there is none."""
    try:
        async with _client(url, limit) as client, asyncio.timeout(limit):
            came = await client.get("/api/tags")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise Wrong(f"a server at {url}", _told(error)) from None
    answer = Answer(came.status_code, dict(came.headers.items()), came.content)
    models = answer.ok().json(Tags).models
    if not models:
        raise Wrong(f"a model at {url}", "none is listed; name one with --model")
    return models[0].name


def _client(url: str, limit: float) -> httpx.AsyncClient:
    # No proxy, no .netrc: what is tested is the server at this very address.
    return httpx.AsyncClient(base_url=url, timeout=limit, trust_env=False)


def _told(error: Exception) -> str:
    return shortened(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
