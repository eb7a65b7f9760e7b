"""Every route against a wrong token, a foreign Origin and a foreign Host."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from litestar.routes import HTTPRoute

from atoll_supervisor.api.app import application
from atoll_supervisor.api.auth import Access
from tests.fakes.served import TOKEN, Daemon, daemon, make_fleet

pytestmark = pytest.mark.anyio

PUBLIC = {
    ("GET", "/health"),
    ("GET", "/agents"),
    ("GET", "/api/v1/agents"),
    ("GET", "/api/v1/agents/ghidraagent"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/redoc"),
    ("GET", "/scalar"),
    ("GET", "/api/v1/health"),
    ("GET", "/api/v1/recipes"),
    ("GET", "/api/v1/services"),
    ("GET", "/api/v1/services/targets"),
    ("GET", "/api/v1/service-groups"),
}
WORK = {
    ("GET", "/run"): 200,
    ("GET", "/run/x"): 404,
    ("GET", "/run/x/events"): 404,
    ("GET", "/batch/x"): 404,
    ("POST", "/run/agent"): 400,
    ("POST", "/run/flock"): 400,
    ("POST", "/run/batch"): 400,
    ("POST", "/run/x/cancel"): 404,
    ("DELETE", "/run/x"): 404,
    ("GET", "/api/v1/vllm/services"): 200,
    ("GET", "/api/v1/vllm/ghidraagent/models"): 404,
    ("POST", "/api/v1/vllm/ghidraagent/prompt"): 400,
}
"""Routes that have agents and models work: as the gateway's, open where agents have no token."""
OPEN_BUT_EMPTY = {
    ("GET", "/api/v1/recipes/ghidraagent"): 404,
    ("GET", "/docs/assets/ghidraagent"): 404,
    ("GET", "/api/v1/services/ghidraagent"): 404,
    ("GET", "/api/v1/services/ghidraagent/status"): 404,
    ("GET", "/api/v1/services/ghidraagent/metrics"): 404,
}
"""Lists need no token; here there is nothing to show."""
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "X-CUSTOM"]
NAME = "ghidraagent"
AGENT = f"/api/v1/agents/{NAME}"
WRONG_CREDENTIALS = [
    {},
    {"Authorization": "Bearer wrong"},
    {"Authorization": "Bearer"},
    {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": f"Bearer {TOKEN[:-1]}"},
    {"X-API-Key": "wrong"},
    {"X-API-Key": ""},
    {"Authorization": "Bearer wrong", "X-API-Key": TOKEN},
    {"Cookie": f"token={TOKEN}"},
]


def _named(path: str) -> str:
    return re.sub(r"{(run|batch)_id}", "x", re.sub(r"{(name|recipe)}", NAME, path))


def routes() -> list[tuple[str, str]]:
    names = ("fleet", "events", "runs", "upkeep", "services", "about", "leaving")
    app = application(dict.fromkeys(names), Access(TOKEN), "0")
    return sorted(
        (method, _named(route.path_format))
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
    )


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with daemon(make_fleet(tmp_path)) as running:
        yield running


@pytest.fixture
async def http(api: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api.url, timeout=20) as client:
        yield client


async def test_only_the_routes_on_the_list_answer_without_the_token(
    http: httpx.AsyncClient,
) -> None:
    """OPTIONS is answered by the guard in front, which knows nothing of the routes."""
    answers = {route: (await http.request(*route)).status_code for route in routes()}
    expected = {
        route: 200
        if route in PUBLIC
        else OPEN_BUT_EMPTY.get(route, 204 if route[0] == "OPTIONS" else 401)
        for route in answers
    }
    assert answers == expected | WORK


async def test_where_agents_have_a_token_work_wants_it_or_the_management_s(tmp_path: Path) -> None:
    async with (
        daemon(make_fleet(tmp_path), agent_token="theirs") as api,
        httpx.AsyncClient(base_url=api.url, timeout=20) as http,
    ):
        for offered, allowed in (("", False), ("wrong", False), ("theirs", True), (TOKEN, True)):
            headers = {"Authorization": f"Bearer {offered}"} if offered else {}
            answers = {
                route: (await http.request(*route, headers=headers)).status_code for route in WORK
            }
            assert answers == (WORK if allowed else dict.fromkeys(WORK, 401))
        theirs = {"Authorization": "Bearer theirs"}
        assert (await http.post(f"{AGENT}/stop", headers=theirs)).status_code == 401


@pytest.mark.parametrize("headers", WRONG_CREDENTIALS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{AGENT}/start"),
        ("POST", f"{AGENT}/stop"),
        ("POST", f"{AGENT}/restart"),
        ("GET", f"{AGENT}/logs"),
        ("GET", f"{AGENT}/events"),
        ("GET", "/api/v1/events"),
    ],
)
async def test_every_wrong_credential_gets_the_same_401(
    http: httpx.AsyncClient, api: Daemon, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await http.request(method, path, headers=headers)
    reference = await http.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.content == reference.content
    assert answer.json()["code"] == "unauthorized"
    assert "atoll token show" in answer.json()["detail"]
    assert api.fleet.calls == []


async def test_the_token_in_the_query_counts_for_nothing(http: httpx.AsyncClient) -> None:
    answer = await http.post(f"{AGENT}/stop", params={"token": TOKEN, "api_key": TOKEN})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer {TOKEN}"},
        {"X-API-Key": TOKEN},
    ],
)
async def test_both_ways_to_show_the_token_open_every_route(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await http.post(f"{AGENT}/restart", headers=headers)).status_code == 200
    assert (await http.get(f"{AGENT}/logs", headers=headers)).status_code == 200


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", [f"{AGENT}/stop", f"{AGENT}/logs", "/schema/openapi.json"])
async def test_no_method_gets_around_the_token(
    http: httpx.AsyncClient, api: Daemon, method: str, path: str
) -> None:
    answer = await http.request(method, path)
    assert answer.status_code in (400, 401, 404, 405)
    assert api.fleet.calls == []


@pytest.mark.parametrize(
    "path",
    [
        f"/{AGENT}/stop",
        f"{AGENT}/stop/",
        f"/health/..{AGENT}/stop",
        f"/health%2f..{AGENT}/stop",
        f"/health;{AGENT}/stop",
        f"{AGENT}/STOP",
        f"/health?{AGENT}/stop",
        "/api/v1/agents/ghidraagent%2fstop",
    ],
)
async def test_no_trick_with_the_path_gets_around_the_token(api: Daemon, path: str) -> None:
    status = await raw(api, f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0")
    assert status in (401, 404, 405)
    assert api.fleet.calls == []


async def test_401_comes_before_the_body_is_read(api: Daemon) -> None:
    head = f"POST {AGENT}/stop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
    assert await raw(api, f"{head}\r\nContent-Length: 1000") == 401


async def test_auth_none_opens_everything(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path)
    async with daemon(fleet, token=None) as api, httpx.AsyncClient(base_url=api.url) as http:
        assert (await http.post(f"{AGENT}/stop")).status_code == 200
        assert (await http.get(f"{AGENT}/logs")).status_code == 200


ORIGINS = ["http://evil.example", "null", "http://localhost.evil", "http://localhost:1", "file://x"]


@pytest.mark.parametrize("origin", ORIGINS)
async def test_a_foreign_origin_is_refused_at_every_route_even_with_the_token(
    http: httpx.AsyncClient, api: Daemon, origin: str
) -> None:
    headers = {"Origin": origin, "Authorization": f"Bearer {TOKEN}"}
    answers = [await http.request(*route, headers=headers) for route in routes()]
    assert {answer.status_code for answer in answers} == {403}
    assert not any("access-control-allow-origin" in answer.headers for answer in answers)
    assert api.fleet.calls == []


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.com", "localhost:80@evil", "", "localhost/health"]
)
async def test_a_foreign_host_is_refused_at_every_route_even_with_the_token(
    api: Daemon, host: str
) -> None:
    tail = f"HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {TOKEN}\r\nContent-Length: 0"
    statuses = {await raw(api, f"{method} {path} {tail}") for method, path in routes()}
    assert statuses <= {400, 403, 421}
    assert api.fleet.calls == []


async def raw(api: Daemon, head: str) -> int:
    """Send exactly this request head; the status of the answer."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(f"{head}\r\n\r\n".encode())
        await writer.drain()
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
    return int(line.split()[1])


async def test_prompts_want_the_agents_token_where_agents_want_it(tmp_path: Path) -> None:
    """The lists of services stay open as those of agents do."""
    async with (
        daemon(make_fleet(tmp_path), agent_token="for-clients") as running,
        httpx.AsyncClient(base_url=running.url, timeout=20) as client,
    ):
        path, body = "/api/v1/vllm/abc/prompt", {"prompt": "Hello"}
        answers = [
            (await client.post(path, json=body, headers=headers)).status_code
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": "Bearer for-clients"},
                {"Authorization": f"Bearer {TOKEN}"},
            )
        ]
        assert answers == [401, 401, 404, 404]
        assert (await client.get("/api/v1/services")).status_code == 200
