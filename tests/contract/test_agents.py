"""The rows of the fleet and the actions on one agent, over a real socket."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from atoll_supervisor.core.row import Row
from tests.fakes.fleet import CRASHED, MemoryFleet, row_of
from tests.fakes.served import TOKEN, Daemon, daemon, make_fleet

pytestmark = pytest.mark.anyio

ROW_KEYS = frozenset(
    [
        "name",
        "slug",
        "status",
        "phase",
        "reason",
        "port",
        "pid",
        "url",
        "model",
        "backend",
        "version",
        "description",
        "capabilities",
        "restarts",
        "started_at",
        "uptime_s",
        "last_exit",
        "config_error",
        "cpu_percent",
        "rss_bytes",
        "in_flight",
        "config_path",
        "checksum",
        "generation",
        "instance_id",
        "limits",
    ]
)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with daemon(make_fleet(tmp_path)) as running:
        yield running


@pytest.fixture
async def http(api: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=20) as client:
        yield client


FLOCKS = frozenset(["input_schema", "output_schema", "hand_off", "routing"])


@pytest.mark.parametrize(
    ("path", "keys"), [("/api/v1/agents", ROW_KEYS), ("/agents", ROW_KEYS | FLOCKS)]
)
async def test_the_list_holds_every_agent_sorted_with_every_field_of_the_design(
    http: httpx.AsyncClient, path: str, keys: frozenset[str]
) -> None:
    body = (await http.get(path)).json()
    assert body["count"] == 2
    assert [row["slug"] for row in body["agents"]] == ["custom-agent", "ghidraagent"]
    assert all(set(row) == keys for row in body["agents"])


async def test_flocks_fields_stand_in_flocks_list_alone(tmp_path: Path) -> None:
    row = row_of("A", input_schema="in.json", last_exit=CRASHED, status="failed")
    async with daemon(MemoryFleet(tmp_path, row)) as api:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=api.url, headers=headers) as http:
            assert (await http.get("/agents")).json()["agents"][0]["input_schema"] == "in.json"
            shown = (await http.get("/api/v1/agents/a")).json()
            started = (await http.post("/api/v1/agents/a/start")).json()
    assert set(shown) == set(started) == ROW_KEYS
    assert shown["last_exit"]["reason"] == "exit 1"


@pytest.mark.parametrize(
    "name", ["ghidraagent", "GhidraAgent", "GHIDRAAGENT", "ghidraagent:latest"]
)
async def test_any_spelling_of_a_name_finds_the_agent(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.get(f"/api/v1/agents/{name}")
    assert answer.status_code == 200
    assert answer.json()["name"] == "GhidraAgent"
    msgspec.json.decode(answer.content, type=Row)


async def test_an_unknown_name_is_404_with_the_nearest_one(http: httpx.AsyncClient) -> None:
    for answer in (
        await http.get("/api/v1/agents/gidraagent"),
        await http.post("/api/v1/agents/gidraagent/start"),
        await http.get("/api/v1/agents/gidraagent/logs"),
    ):
        assert answer.status_code == 404
        body = answer.json()
        assert (body["code"], body["who"]) == ("not_found", "client")
        assert "did you mean `ghidraagent`?" in body["detail"]


async def test_a_name_like_no_other_is_404_with_the_names_there_are(
    http: httpx.AsyncClient,
) -> None:
    detail = (await http.get("/api/v1/agents/zzzzzz")).json()["detail"]
    assert "custom-agent, ghidraagent" in detail


@pytest.mark.parametrize(
    "name",
    ["..%2f..%2fetc", "%2e%2e", "%00", "%0d%0aX-Evil:1", "~root", "-rf", "x" * 300, "%E2%80%AE"],
)
async def test_a_hostile_name_is_a_clean_404(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.get(f"/api/v1/agents/{name}")
    assert answer.status_code == 404
    assert "x-evil" not in answer.headers
    assert len(answer.json()["detail"]) < 300


@pytest.mark.parametrize(
    ("verb", "status"), [("start", "running"), ("stop", "stopped"), ("restart", "running")]
)
async def test_an_action_answers_with_the_row_when_it_is_done(
    http: httpx.AsyncClient, api: Daemon, verb: str, status: str
) -> None:
    answer = await http.post(f"/api/v1/agents/GhidraAgent/{verb}")
    assert answer.status_code == 200
    assert answer.json()["status"] == status
    assert api.fleet.calls == [(verb, "ghidraagent", True)]


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
async def test_wait_false_answers_202_at_once(
    http: httpx.AsyncClient, api: Daemon, verb: str
) -> None:
    answer = await http.post(f"/api/v1/agents/ghidraagent/{verb}?wait=false")
    assert answer.status_code == 202
    assert api.fleet.calls == [(verb, "ghidraagent", False)]


async def test_a_wrong_wait_is_400_and_names_it(http: httpx.AsyncClient, api: Daemon) -> None:
    answer = await http.post("/api/v1/agents/ghidraagent/stop?wait=maybe")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("wait: ")
    assert api.fleet.calls == []


async def test_an_empty_object_is_as_good_as_no_body(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/v1/agents/ghidraagent/start", json={})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"pid": 1}',
        b'{"command": "sh"}',
        b"[]",
        b"{",
        b"null",
        b'{"\xff": 1}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
async def test_a_body_that_says_anything_else_is_400_and_changes_nothing(
    http: httpx.AsyncClient, api: Daemon, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await http.post("/api/v1/agents/ghidraagent/stop", content=body, headers=headers)
    assert answer.status_code == 400
    assert set(answer.json()) == {"detail", "code", "who"}
    assert api.fleet.calls == []


async def test_a_body_that_is_not_json_by_type_is_415(http: httpx.AsyncClient, api: Daemon) -> None:
    headers = {"Content-Type": "text/plain"}
    answer = await http.post("/api/v1/agents/ghidraagent/stop", content="{}", headers=headers)
    assert answer.status_code == 415
    assert api.fleet.calls == []


async def test_a_body_of_11_mb_is_413(http: httpx.AsyncClient, api: Daemon) -> None:
    async def chunked() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * 1_048_576

    headers = {"Content-Type": "application/json"}
    path = "/api/v1/agents/ghidraagent/stop"
    whole = await http.post(path, content=b" " * 11_534_336, headers=headers)
    pieces = await http.post(path, content=chunked(), headers=headers)
    assert (whole.status_code, pieces.status_code) == (413, 413)
    assert api.fleet.calls == []


async def test_an_unknown_path_is_json_404_under_management_and_ollamas_text_elsewhere(
    http: httpx.AsyncClient,
) -> None:
    assert (await http.get("/api/v1/nowhere")).json()["code"] == "not_found"
    for path in ("/nowhere", "/api/nowhere"):
        answer = await http.get(path)
        assert (answer.status_code, answer.text) == (404, "404 page not found")


async def test_a_wrong_method_is_405_and_says_which_are_right(http: httpx.AsyncClient) -> None:
    answer = await http.delete("/api/v1/agents/ghidraagent")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
    assert answer.json()["code"] == "method_not_allowed"


async def test_a_fault_of_ours_is_500_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(MemoryFleet):
        def rows(self) -> list[Row]:
            raise ZeroDivisionError("a secret detail")

    async with daemon(Broken(tmp_path)) as running, httpx.AsyncClient(base_url=running.url) as http:
        answer = await http.get("/api/v1/agents")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "ZeroDivision" not in answer.text
    assert "secret" not in answer.text
    assert "a secret detail" in caplog.text
