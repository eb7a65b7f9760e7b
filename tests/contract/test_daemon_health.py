"""The daemon's health and its OpenAPI document, over a real socket."""

import os
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import httpx
import jsonschema
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.fakes.served import Daemon, daemon, make_fleet

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with daemon(make_fleet(tmp_path)) as running:
        yield running


@pytest.fixture
async def http(api: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api.url, timeout=20) as client:
        yield client


async def test_health_has_the_superset_of_fields(http: httpx.AsyncClient) -> None:
    body = (await http.get("/health")).json()
    assert (body["status"], body["ok"], body["version"]) == ("healthy", True, "9.9.9")
    assert body["pid"] == os.getpid()
    assert body["uptime"] >= 60
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None


async def test_health_counts_the_agents_by_status(http: httpx.AsyncClient) -> None:
    counts = (await http.get("/health")).json()["agents"]
    assert (counts["total"], counts["running"], counts["failed"]) == (2, 1, 1)
    assert set(counts) == {"total", "discovered", "starting", "running", "stopped", "failed"}


async def test_the_instance_id_is_one_daemons_own(http: httpx.AsyncClient, tmp_path: Path) -> None:
    first = (await http.get("/health")).json()["instance_id"]
    again = (await http.get("/health")).json()["instance_id"]
    async with (
        daemon(make_fleet(tmp_path)) as other,
        httpx.AsyncClient(base_url=other.url) as client,
    ):
        second = (await client.get("/health")).json()["instance_id"]
    assert first == again
    assert first != second


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/agents",
        "/api/v1/agents",
        "/api/v1/agents/GhidraAgent",
        "/api/v1/agents/nobody",
        "/openapi.json",
    ],
)
async def test_head_follows_get_without_a_body(http: httpx.AsyncClient, path: str) -> None:
    got, asked = await http.get(path), await http.head(path)
    assert (asked.status_code, asked.content) == (got.status_code, b"")
    assert asked.headers["content-type"] == got.headers["content-type"]
    assert "content-length" in asked.headers


async def test_head_of_a_run_s_events_is_not_offered(http: httpx.AsyncClient) -> None:
    assert (await http.head("/run/x/events")).status_code == 405


@pytest.mark.parametrize("path", ["agents/GhidraAgent/logs", "agents/GhidraAgent/events", "events"])
async def test_head_of_what_may_never_end_is_not_offered(
    http: httpx.AsyncClient, path: str
) -> None:
    answer = await http.head(f"/api/v1/{path}", params={"follow": "true"})
    assert answer.status_code == 405


@pytest.mark.parametrize("path", ["/schema", "/schema/openapi.json", "/schema/x"])
async def test_there_are_no_pages_that_the_document_does_not_list(
    http: httpx.AsyncClient, path: str
) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.text) == (404, "404 page not found")


async def test_openapi_has_the_types_of_the_fleet(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.get("/openapi.json")
    assert answer.headers["content-type"].startswith("application/json")
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    assert {"AgentRow", "AgentList", "Row", "RowList", "Health", "ErrorBody", "LastExit"} <= set(
        document["components"]["schemas"]
    )


@pytest.mark.parametrize("path", ["/run/agent", "/run/flock", "/run/batch"])
async def test_openapi_shows_what_a_run_is_sent(http: httpx.AsyncClient, path: str) -> None:
    document = (await http.get("/openapi.json")).json()
    content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    schema = {**content["schema"], "components": document["components"]}
    jsonschema.validate(content["example"], schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"inputs": {}}, schema)


async def test_openapi_says_which_routes_want_the_token(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    assert paths["/api/v1/agents"]["get"]["security"] == []
    assert paths["/api/v1/agents/{name}/stop"]["post"]["security"] == [
        {"bearer": []},
        {"api_key": []},
    ]
    assert "401" in paths["/api/v1/agents/{name}/logs"]["get"]["responses"]


async def test_the_daemon_is_no_websocket(api: Daemon) -> None:
    """Conversations over one are the agents' own; here the request is one like any other."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{api.port}/ws/chat", open_timeout=20):
            pass
    assert refused.value.response.status_code in (401, 404)
