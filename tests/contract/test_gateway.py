"""The gateway: the fleet as one Ollama and OpenAI server, over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from atoll_supervisor.gateway.app import Gateway
from tests.fakes.agents import agent_row, asked, play
from tests.fakes.fleet import MemoryFleet, row_of
from tests.fakes.packing import zstd
from tests.fakes.served import Daemon, daemon, served
from tests.fakes.upstream import (
    HANG,
    RESET,
    Hold,
    Upstream,
    delta,
    head,
    ollama_chat,
    ollama_line,
    piece,
    whole,
)

pytestmark = pytest.mark.anyio
LIMIT = 20
HELLO = {"model": "ghidraagent", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The daemon runs on uvloop; what holds only there would hold by accident."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def agent() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        play(upstream)
        upstream.on("/api/chat", ollama_chat("Hel", "lo"))
        yield upstream


@pytest.fixture
async def api(tmp_path: Path, agent: Upstream) -> AsyncIterator[Daemon]:
    async with daemon(MemoryFleet(tmp_path, agent_row(agent))) as running:
        yield running


@pytest.fixture
async def http(api: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api.url, timeout=LIMIT) as client:
        yield client


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not true():
            await asyncio.sleep(0.01)


# the gateway's own answers


async def test_a1_a2_the_root_says_what_ollama_says(http: httpx.AsyncClient) -> None:
    told, bare = await http.get("/"), await http.head("/")
    assert (told.text, told.headers["content-type"]) == (
        "Ollama is running",
        "text/plain; charset=utf-8",
    )
    assert (bare.status_code, bare.content) == (200, b"")


async def test_what_needs_no_agent_is_answered_without_one(
    http: httpx.AsyncClient, agent: Upstream
) -> None:
    assert (await http.get("/api/version")).json()["version"].count(".") == 2
    cloud = (await http.get("/api/status")).json()["cloud"]
    assert cloud == {"disabled": True, "source": "atoll"}
    assert (await http.head("/api/blobs/sha256:00")).status_code == 404
    assert (await http.post("/api/push", json={"model": "x"})).status_code == 501
    assert (await http.post("/api/create", json={"model": "x"})).status_code == 501
    assert (await http.post("/api/me")).status_code == 401
    assert agent.requests == []


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/api/nope", 404, "404 page not found"),
        ("GET", "/api/chat", 405, "405 method not allowed"),
        ("PUT", "/api/tags", 405, "405 method not allowed"),
        ("POST", "/", 405, "405 method not allowed"),
    ],
)
async def test_a19_a20_unknown_paths_and_methods_get_ollamas_text(
    http: httpx.AsyncClient, method: str, path: str, status: int, body: str
) -> None:
    answer = await http.request(method, path)
    assert (answer.status_code, answer.text) == (status, body)
    assert answer.headers["content-type"].startswith("text/plain")
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/nope"), ("GET", "/v1/chat/completions")])
async def test_under_v1_they_get_openais_envelope(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await http.request(method, path)
    assert answer.status_code in (404, 405)
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


POSTS = ["generate", "chat", "show", "copy", "pull", "push", "create", "embed", "embeddings"]


@pytest.mark.parametrize("name", POSTS)
async def test_d1_d2_an_empty_or_broken_body_is_400(http: httpx.AsyncClient, name: str) -> None:
    empty = await http.post(f"/api/{name}")
    broken = await http.post(f"/api/{name}", content=b'{"model": ')
    assert (empty.status_code, empty.json()["error"]) == (400, "missing request body")
    assert (broken.status_code, type(broken.json()["error"])) == (400, str)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/chat", "model 'nope' not found"),
        ("/api/generate", "model 'nope' not found"),
        ("/api/show", "model 'nope' not found"),
        ("/api/pull", "model 'nope' not found"),
        ("/api/embed", 'model "nope" not found, try pulling it first'),
    ],
)
async def test_d8_an_unknown_model_is_404_before_any_byte(
    http: httpx.AsyncClient, path: str, message: str
) -> None:
    answer = await http.post(path, json={"model": "nope"})
    assert (answer.status_code, answer.json()["error"]) == (404, message)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


async def test_d10_delete_reads_model_and_name(http: httpx.AsyncClient) -> None:
    for key in ("model", "name"):
        answer = await http.request("DELETE", "/api/delete", json={key: "nope"})
        assert (answer.status_code, answer.json()["error"]) == (404, "model 'nope' not found")


async def test_e15_e16_v1_has_the_envelopes_of_its_dialects(http: httpx.AsyncClient) -> None:
    openai = await http.post("/v1/chat/completions", json={"model": "nope"})
    assert openai.status_code == 404
    assert openai.json()["error"]["type"] == "not_found_error"
    anthropic = await http.post("/v1/messages", json={"model": "nope"})
    assert anthropic.status_code == 404
    assert anthropic.json()["error"] == {
        "type": "not_found_error",
        "message": "model 'nope' not found",
    }
    assert anthropic.json()["request_id"].startswith("req_")


# requests that agents answer


@pytest.mark.parametrize("name", ["ghidraagent", "GhidraAgent", "GHIDRAAGENT:latest"])
async def test_c17_any_spelling_reaches_the_agent_and_the_body_is_left_as_it_is(
    http: httpx.AsyncClient, agent: Upstream, name: str
) -> None:
    body = b'{ "unknown":1, "model": "%b", "messages": "anything" }' % name.encode()
    answer = await http.post("/api/chat?beta=true", content=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["x-accel-buffering"] == "no"
    assert [json.loads(one)["message"]["content"] for one in answer.text.splitlines()] == [
        "Hel",
        "lo",
        "",
    ]
    assert agent.requests[-1].body == body
    assert agent.requests[-1].path == "/api/chat?beta=true"


async def test_a_packed_body_reaches_the_agent_unpacked(
    http: httpx.AsyncClient, agent: Upstream
) -> None:
    agent.on("/v1/chat/completions", whole({"choices": []}))
    body, path = json.dumps(HELLO).encode(), "/v1/chat/completions"
    headers = {"Content-Encoding": "zstd", "Content-Type": "application/json"}
    answer = await http.post(path, content=zstd.compress(body), headers=headers)
    assert answer.status_code == 200
    assert agent.requests[-1].body == body
    assert "content-encoding" not in agent.requests[-1].headers
    broken = await http.post(path, content=zstd.compress(body)[:-1], headers=headers)
    assert (broken.status_code, broken.json()["error"]["message"]) == (
        400,
        "the body ends in the middle of a zstd frame",
    )
    bomb = await http.post(path, content=zstd.compress(bytes(1 << 26)), headers=headers)
    assert bomb.status_code == 413
    for other in (path, "/api/chat", "/api/v1/agents/ghidraagent/stop"):
        refused = await http.post(
            other, content=b"{}", headers=headers | {"Content-Encoding": "br"}
        )
        assert refused.status_code == 415


async def test_f1_f6_whatever_headers_come_the_agent_sees_what_is_meant_for_it(
    http: httpx.AsyncClient, agent: Upstream
) -> None:
    headers = {
        "Authorization": "Bearer anything",
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Stainless-Lang": "python",
    }
    answer = await http.post("/api/chat", content=json.dumps(HELLO), headers=headers)
    seen = agent.requests[-1].headers
    assert answer.status_code == 200
    assert seen["host"] == f"127.0.0.1:{agent.port}"
    assert seen["x-stainless-lang"] == "python"
    assert {"authorization", "origin", "connection"} & set(seen) == set()


async def test_an_agents_own_error_is_passed_on_as_it_is(
    http: httpx.AsyncClient, agent: Upstream
) -> None:
    agent.on("/api/generate", whole({"error": "raw mode"}, "400 Bad Request"))
    answer = await http.post("/api/generate", json={"model": "ghidraagent"})
    assert (answer.status_code, answer.json()) == (400, {"error": "raw mode"})


async def test_every_line_goes_out_before_the_next_one_has_come(
    http: httpx.AsyncClient, agent: Upstream
) -> None:
    go_on = asyncio.Event()
    first, second = piece(ollama_line("one")), piece(ollama_line("two"))
    agent.on("/api/chat", [head("application/x-ndjson"), first, Hold(go_on), second, b"0\r\n\r\n"])
    async with asyncio.timeout(LIMIT), http.stream("POST", "/api/chat", json=HELLO) as answer:
        lines = answer.aiter_lines()
        assert "one" in await anext(lines)
        go_on.set()
        assert "two" in await anext(lines)


async def test_c14_a_client_that_hangs_up_hangs_up_on_the_agent(
    http: httpx.AsyncClient, agent: Upstream
) -> None:
    agent.on("/api/chat", [head("application/x-ndjson"), piece(ollama_line("one")), HANG])
    async with http.stream("POST", "/api/chat", json=HELLO) as answer:
        await anext(answer.aiter_lines())
    assert await asyncio.to_thread(agent.requests[-1].abandoned.wait, LIMIT)


async def test_connections_to_an_agent_are_kept(http: httpx.AsyncClient, agent: Upstream) -> None:
    agent.on("/api/generate", whole({"done": True}))
    for _ in range(5):
        await http.post("/api/generate", json={"model": "ghidraagent"})
    assert agent.connections == 1


# agents that come and go


async def test_a_request_that_was_lost_before_its_answer_began_is_sent_again(
    http: httpx.AsyncClient, agent: Upstream
) -> None:
    agent.on("/api/chat", [RESET], [RESET], ollama_chat("again"))
    answer = await http.post("/api/chat", json=HELLO)
    assert (answer.status_code, "again" in answer.text) == (200, True)
    assert asked(agent) == ["/api/chat"] * 3


async def test_a_request_that_ends_every_process_is_given_up(
    http: httpx.AsyncClient, agent: Upstream
) -> None:
    agent.on("/api/chat", [RESET])
    answer = await http.post("/api/chat", json=HELLO)
    assert answer.status_code == 502
    assert "agent 'ghidraagent' went away" in answer.json()["error"]
    assert len(agent.requests) == 5


async def test_after_the_first_byte_nothing_is_sent_again_and_the_stream_ends_with_an_error(
    http: httpx.AsyncClient, agent: Upstream
) -> None:
    half = piece(ollama_line("one") + b'{"model":"tin')
    agent.on("/api/chat", [head("application/x-ndjson"), half, RESET])
    answer = await http.post("/api/chat", json=HELLO)
    first, last = answer.text.splitlines()
    assert "one" in first
    assert "went away" in json.loads(last)["error"]
    assert len(agent.requests) == 1


async def test_an_sse_stream_that_breaks_off_ends_with_an_error_event(
    http: httpx.AsyncClient, agent: Upstream
) -> None:
    broken = [head("text/event-stream"), piece(delta("one")), RESET]
    agent.on("/v1/chat/completions", broken)
    agent.on("/v1/messages", broken)
    openai = await http.post("/v1/chat/completions", json=HELLO)
    anthropic = await http.post("/v1/messages", json=HELLO)
    last = openai.text.strip().splitlines()[-1].removeprefix("data: ")
    assert "went away" in json.loads(last)["error"]["message"]
    assert "event: error\n" in anthropic.text


@pytest.mark.parametrize("begun", [head("application/x-ndjson"), head(length=100) + b'{"half":'])
async def test_an_answer_of_which_nothing_was_passed_on_is_asked_for_again(
    http: httpx.AsyncClient, agent: Upstream, begun: bytes
) -> None:
    """A stream's head alone, and a part of an answer in one piece."""
    agent.on("/api/chat", [begun, RESET], ollama_chat("again"))
    answer = await http.post("/api/chat", json=HELLO)
    assert (answer.status_code, "again" in answer.text) == (200, True)


async def test_a_large_answer_that_breaks_off_is_seen_to_be_incomplete(
    http: httpx.AsyncClient, agent: Upstream
) -> None:
    """From 1 MiB on an answer in one piece goes through as it comes, too."""
    agent.on("/api/chat", [head(length=2 << 20) + b'{"half":', RESET])
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/api/chat", json=HELLO)
    assert len(agent.requests) == 1


async def test_an_agent_that_is_not_up_yet_is_waited_for(
    http: httpx.AsyncClient, api: Daemon, agent: Upstream
) -> None:
    async with Upstream() as other:
        nobody = other.port
    api.fleet.put(row_of("GhidraAgent", "starting", nobody, phase="backoff"))
    asking = asyncio.create_task(http.post("/api/chat", json=HELLO))
    await asyncio.wait({asking}, timeout=0.2)
    assert not asking.done()
    api.fleet.put(agent_row(agent, generation=2))
    async with asyncio.timeout(LIMIT):
        assert (await asking).status_code == 200


async def test_an_agent_that_is_stopped_while_it_is_waited_for_is_told_at_once(
    http: httpx.AsyncClient, api: Daemon, agent: Upstream
) -> None:
    agent.on("/api/chat", [HANG])
    asking = asyncio.create_task(http.post("/api/chat", json=HELLO))
    await until(lambda: asked(agent) == ["/api/chat"])
    api.fleet.put(agent_row(agent, status="stopped"))
    async with asyncio.timeout(LIMIT):
        answer = await asking
    assert (answer.status_code, "`atoll start ghidraagent`" in answer.text) == (503, True)


async def test_nobody_is_waited_for_for_ever(tmp_path: Path, agent: Upstream) -> None:
    agent.on("/v1/messages", [HANG])
    row = agent_row(agent, status="starting", phase="backoff", reason="exit 1")
    async with (
        served(Gateway(MemoryFleet(tmp_path, row), patience=0.5)) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT) as http,
    ):
        answer = await http.post("/v1/messages", json=HELLO)
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "overloaded_error"
    assert "backoff (exit 1)" in answer.json()["error"]["message"]


async def test_a_running_agent_may_think_for_longer_than_that(
    tmp_path: Path, agent: Upstream
) -> None:
    go_on = asyncio.Event()
    agent.on("/api/chat", [Hold(go_on), *ollama_chat("well")])
    async with (
        served(Gateway(MemoryFleet(tmp_path, agent_row(agent)), patience=0.5)) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT) as http,
    ):
        asking = asyncio.create_task(http.post("/api/chat", json=HELLO))
        await asyncio.wait({asking}, timeout=1.2)
        go_on.set()
        assert (await asking).status_code == 200


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "stopped"}, "`atoll start ghidraagent`"),
        ({"status": "failed", "reason": "exit 1"}, "has failed: exit 1; `atoll logs ghidraagent`"),
        (
            {"status": "failed", "phase": "invalid", "reason": "agent.toml:3:1: no\n  ^"},
            "is wrong: agent.toml:3:1: no;",
        ),
    ],
)
async def test_an_agent_that_cannot_answer_says_why_and_is_no_model(
    http: httpx.AsyncClient, api: Daemon, agent: Upstream, fields: dict[str, str], words: str
) -> None:
    api.fleet.put(agent_row(agent, **fields))
    for path in ("/api/chat", "/api/show", "/v1/chat/completions"):
        answer = await http.post(path, json=HELLO)
        assert answer.status_code == 503
        error = answer.json()["error"]
        assert words in (error["message"] if path.startswith("/v1") else error)
    assert (await http.get("/api/tags")).json() == {"models": []}
    assert (await http.get("/v1/models")).json()["data"] == []
    assert agent.requests == []


# guard and token


async def test_f2_f3_local_pages_may_speak_to_the_gateway_and_strangers_may_not(
    http: httpx.AsyncClient,
) -> None:
    local = await http.get("/api/tags", headers={"Origin": "http://localhost:3000"})
    assert local.headers["access-control-allow-origin"] == "http://localhost:3000"
    evil = await http.get("/api/tags", headers={"Origin": "http://evil.example"})
    assert (evil.status_code, evil.content) == (403, b"")
    management = await http.get("/api/v1/agents", headers={"Origin": "http://localhost:3000"})
    assert management.status_code == 403, "the management API is for its own pages only"


async def test_a_page_cannot_send_a_body_that_needs_no_preflight(http: httpx.AsyncClient) -> None:
    headers = {"Origin": "http://localhost:3000", "Content-Type": "text/plain"}
    answer = await http.post("/api/chat", content=json.dumps(HELLO), headers=headers)
    assert answer.status_code == 415


async def test_agents_that_want_a_token_are_not_reached_without_it(
    tmp_path: Path, agent: Upstream
) -> None:
    fleet = MemoryFleet(tmp_path, agent_row(agent))
    async with (
        daemon(fleet, agent_token="s3cret") as api,
        httpx.AsyncClient(base_url=api.url, timeout=LIMIT) as http,
    ):
        for path in ("/api/tags", "/"):
            assert (await http.get(path)).status_code == 401
        assert (await http.post("/api/chat", json=HELLO)).status_code == 401
        assert agent.requests == []
        http.headers["Authorization"] = "Bearer s3cret"
        assert (await http.get("/api/tags")).status_code == 200
        assert (await http.post("/api/chat", json=HELLO)).status_code == 200
    assert {one.headers["authorization"] for one in agent.requests} == {"Bearer s3cret"}
