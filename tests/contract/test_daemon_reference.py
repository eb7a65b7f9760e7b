"""The reference of the daemon's port: every route, with examples that work, nothing from elsewhere.

`tests/fakes/examples.py` sends the examples and says in which order.
"""

import asyncio
import html
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from atoll.http.reference.example import place_of
from atoll.http.reference.operations import GROUPS
from atoll_supervisor.api import openapi
from atoll_supervisor.api.app import application
from atoll_supervisor.api.auth import Access
from atoll_supervisor.api.summaries import SUMMARIES
from atoll_supervisor.gateway.app import Gateway
from tests.contract.test_reference import ASSETS, REFUSED, nothing_is_installed
from tests.fakes.daemon import running
from tests.fakes.examples import (
    OF_DAEMON,
    ExampleDaemon,
    media_of,
    of_daemon,
    operations,
    text_of,
    value_of,
)
from tests.fakes.fleet import MemoryFleet
from tests.fakes.openapi import faults_of, misfits
from tests.fakes.served import TOKEN, Daemon, daemon, make_fleet

pytestmark = pytest.mark.anyio
__all__ = ["nothing_is_installed"]
WITHOUT_VECTORS = {"post_api_embed", "post_api_embeddings", "post_v1_embeddings"}
"""The model of the example agent makes none; `test_reference` sends these to one that does."""
GIVEN = ("fleet", "events", "runs", "upkeep", "services", "about", "leaving")
"""What handlers are given."""
KINDS = ("agent", "flock", "batch")
PAGES = ["/docs", "/redoc", "/scalar"]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with daemon(make_fleet(tmp_path)) as running:
        yield running


@pytest.fixture
async def http(api: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api.url) as client:
        yield client


@pytest.mark.parametrize("path", PAGES)
async def test_the_page_tells_every_route_and_loads_nothing(
    http: httpx.AsyncClient, path: str
) -> None:
    document = (await http.get("/openapi.json")).json()
    answer = await http.get(path)
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script|<img|<link|src=|@import|url\(", answer.text)
    for route in document["paths"]:
        assert html.escape(route) in answer.text


async def test_a_batch_is_refused_as_a_run_is(document: dict) -> None:
    told = [set(document["paths"][f"/run/{kind}"]["post"]["responses"]) for kind in KINDS]
    assert told[0] == told[1] == told[2] == {"200", "400", "401", "415", "422", "503", "default"}


async def test_requests_at_once_make_the_document_once(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a third of a second of the processor, and asks for no token."""
    made = Counter[str]()

    def counted(app: Litestar) -> bytes:
        made["times"] += 1
        return whole(app)

    whole = openapi._made
    monkeypatch.setattr(openapi, "_made", counted)
    paths = ["/openapi.json", *PAGES] * 3
    answers = await asyncio.gather(*(http.get(path) for path in paths))
    assert {answer.status_code for answer in answers} == {200}
    assert made["times"] == 1


async def test_a_route_that_needs_the_token_says_how_it_is_shown(
    http: httpx.AsyncClient, api: Daemon
) -> None:
    page = html.unescape((await http.get("/docs")).text)
    slug = api.fleet.rows()[0].slug
    shown = '-H "Authorization: Bearer $(atoll token show)"'
    assert f"curl -X POST {shown} {api.url}/api/v1/agents/{slug}/start" in page
    assert f"curl {api.url}/health" in page


async def test_a_route_that_asks_for_no_token_is_not_said_to_refuse_one(document: dict) -> None:
    for path in ("/health", "/agents", "/docs"):
        assert "401" not in document["paths"][path]["get"]["responses"]
    assert "401" in document["paths"]["/api/v1/reload"]["post"]["responses"]


async def test_every_route_of_management_and_gateway_is_told_and_nothing_else(
    document: dict,
) -> None:
    """But for those that are refused in their dialect's words, as at an agent's port."""
    app = application(dict.fromkeys(GIVEN), Access(TOKEN), "9.9.9")
    routes = {
        (route.path_format, method.lower())
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods - {"OPTIONS"}
    }
    gateway = Gateway(MemoryFleet(Path()))
    for path, methods in gateway._paths.items():
        routes |= {(path, method.lower()) for method in methods}
    for begin, methods in gateway._beginnings.items():
        whole = f"{begin}{{model_id}}" if begin == "/v1/models/" else begin
        routes |= {(whole, method.lower()) for method in methods}
    told = {(path, method) for path, method, _ in operations(document)}
    refused = REFUSED | {path.partition("{")[0] for path in REFUSED}
    assert told == {one for one in routes if one[0] not in refused | ASSETS}


@pytest.fixture
async def document(http: httpx.AsyncClient) -> dict:
    return (await http.get("/openapi.json")).json()


async def test_it_is_openapi_and_every_operation_is_told_with_examples_that_fit(
    document: dict,
) -> None:
    """Words, tags, parameters, bodies, answers and errors, each with an example of its type."""
    assert document["openapi"] == "3.1.0"
    assert faults_of(document) == []
    ours = {
        one["operationId"] for _, _, one in operations(document) if one["tags"][0] not in GROUPS
    }
    # A route that is new wants a line in api/summaries.py, and an example body in api/bodies.py.
    assert ours == SUMMARIES.keys() == json.loads(OF_DAEMON.read_text("utf-8")).keys()


async def test_the_examples_name_an_agent_that_there_is(document: dict) -> None:
    told = json.dumps(document)
    assert '"example": "custom-agent"' in told or '"example": "ghidraagent"' in told
    assert '"my-agent"' not in told


@pytest.mark.timeout(120)
def test_every_example_is_answered_as_the_document_says(tmp_path: Path) -> None:
    """By a real daemon with a real agent; the service is the stand-in for vLLM."""
    recorded = json.loads(OF_DAEMON.read_text("utf-8"))
    with running(ExampleDaemon(tmp_path)) as daemon:
        document, asked = daemon.document(), set()
        for name, operation, answer in of_daemon(daemon):
            expected = 400 if name in WITHOUT_VECTORS else answer.status_code
            assert answer.status_code == expected, (name, answer.text)
            assert answer.is_success or expected == 400, (name, answer.text)
            media = media_of(answer)
            shown = operation["responses"][str(expected)]["content"][media]
            value = text_of(answer) if name in recorded else value_of(answer)
            assert misfits(value, shown["schema"], document) == [], name
            if name in recorded and name != "openapi":
                assert fields(value) == fields(recorded[name][media]), name
            asked.add(name)
        assert asked == {one["operationId"] for _, _, one in operations(document)}


def fields(value: object) -> object:
    """The names of an answer's fields; `python -m tests.fakes.examples` records them anew."""
    return set(value) if isinstance(value, dict) else type(value)


@pytest.mark.parametrize(("token", "agents"), [(TOKEN, ""), (TOKEN, "work"), (None, "")])
async def test_the_document_says_what_needs_which_token(
    tmp_path: Path, token: str | None, agents: str
) -> None:
    """A route is asked without a token; that it is refused is what the document says of it."""
    async with (
        daemon(make_fleet(tmp_path), token=token, agent_token=agents) as api,
        httpx.AsyncClient(base_url=api.url, timeout=20) as client,
    ):
        document = (await client.get("/openapi.json")).json()
        assert faults_of(document) == []
        for path, method, operation in operations(document):
            answer = await client.request(method, place_of(path, operation), json={})
            assert (answer.status_code == 401) == bool(operation["security"]), path
            if operation["security"]:
                told = operation["responses"]["401"]["content"]["application/json"]
                assert misfits(answer.json(), told["schema"], document) == [], path
