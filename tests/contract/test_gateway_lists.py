"""The gateway's lists: every agent a model, and nobody woken or waited for to tell so."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from atoll_supervisor.gateway import lists
from tests.fakes.agents import FAR, NEAR, agent_row, asked, play
from tests.fakes.fleet import MemoryFleet, row_of
from tests.fakes.served import Daemon, daemon
from tests.fakes.serving import Served
from tests.fakes.upstream import HANG, Upstream, whole

pytestmark = pytest.mark.anyio
LIMIT = 20
HELLO = {"model": "ghidraagent", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def agent() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        play(upstream)
        yield upstream


@pytest.fixture
async def other() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        play(upstream, "custom-agent", FAR)
        yield upstream


@pytest.fixture
async def api(tmp_path: Path, agent: Upstream, other: Upstream) -> AsyncIterator[Daemon]:
    rows = agent_row(agent), agent_row(other, "Custom Agent")
    async with daemon(MemoryFleet(tmp_path, *rows)) as running:
        yield running


@pytest.fixture
async def http(api: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api.url, timeout=LIMIT) as client:
        yield client


async def tags(http: httpx.AsyncClient) -> dict[str, dict[str, object]]:
    models = (await http.get("/api/tags")).raise_for_status().json()["models"]
    return {model["name"]: model for model in models}


async def test_a5_every_agent_is_a_model_by_its_own_name_with_a_digest_of_its_own(
    http: httpx.AsyncClient,
) -> None:
    listed = await tags(http)
    assert list(listed) == ["custom-agent:latest", "ghidraagent:latest"]
    assert len({model["digest"] for model in listed.values()}) == 2
    assert listed["ghidraagent:latest"]["digest"] == hashlib.sha256(b"ghidraagent").hexdigest()
    assert (await http.head("/api/tags")).content == b""


async def test_an_agent_is_asked_once_for_each_process_it_has(
    http: httpx.AsyncClient, api: Daemon, agent: Upstream
) -> None:
    for _ in range(3):
        await tags(http)
        await http.post("/api/show", json={"model": "ghidraagent"})
    assert sorted(asked(agent)) == ["/api/show", "/api/tags"]
    api.fleet.put(agent_row(agent, generation=2))
    await tags(http)
    assert len(asked(agent)) == 4


async def test_one_that_sleeps_is_shown_as_it_was_and_is_not_woken(
    http: httpx.AsyncClient, api: Daemon, agent: Upstream
) -> None:
    before = await tags(http)
    api.fleet.put(agent_row(agent, phase="asleep", generation=2))
    agent.requests.clear()
    assert await tags(http) == before
    assert (await http.post("/api/show", json={"model": "ghidraagent"})).status_code == 200
    assert (await http.get("/v1/models")).json()["data"][1]["id"] == "ghidraagent"
    assert (await http.get("/api/ps")).status_code == 200
    assert agent.requests == []


async def test_one_that_was_never_awake_is_shown_with_the_digest_it_will_have(
    http: httpx.AsyncClient, api: Daemon, agent: Upstream, tmp_path: Path
) -> None:
    manifest = tmp_path / "agent.toml"
    manifest.write_text('[agent]\nname = "GhidraAgent"\n')
    row = agent_row(agent, phase="asleep", config_path=str(manifest), started_at=None)
    api.fleet.put(row)
    shown = (await tags(http))["ghidraagent:latest"]
    checksum = hashlib.sha256(manifest.read_bytes()).hexdigest()
    assert shown["digest"] == hashlib.sha256(f"ghidraagent\0{checksum}".encode()).hexdigest()
    assert shown == (await tags(http))["ghidraagent:latest"], "stable"
    assert agent.requests == []


async def test_its_first_show_wakes_it(
    http: httpx.AsyncClient, api: Daemon, agent: Upstream
) -> None:
    api.fleet.put(agent_row(agent, phase="asleep"))
    shown = await http.post("/api/show", json={"name": "GhidraAgent:latest"})
    assert shown.json()["model_info"]["general.architecture"] == "llama"
    assert "/api/show" in asked(agent)


async def test_one_whose_manifest_changed_while_it_slept_is_not_shown_as_it_was(
    http: httpx.AsyncClient, api: Daemon, agent: Upstream
) -> None:
    before = await tags(http)
    api.fleet.put(agent_row(agent, phase="asleep", checksum="1" * 64))
    after = await tags(http)
    assert before["ghidraagent:latest"]["digest"] != after["ghidraagent:latest"]["digest"]


async def test_an_agent_that_cannot_tell_is_listed_all_the_same(
    http: httpx.AsyncClient, agent: Upstream
) -> None:
    agent.on("/api/tags", whole({"error": "no"}, "500 Internal Server Error"))
    assert "ghidraagent:latest" in await tags(http)
    shown = await http.post("/api/show", json={"model": "ghidraagent"})
    assert (shown.status_code, "it answered 500" in shown.json()["error"]) == (502, True)


async def test_an_agent_that_is_gone_is_forgotten(http: httpx.AsyncClient, api: Daemon) -> None:
    await tags(http)
    api.fleet.remove("ghidraagent")
    assert list(await tags(http)) == ["custom-agent:latest"]
    gone = await http.post("/api/show", json={"model": "ghidraagent"})
    assert (gone.status_code, gone.json()["error"]) == (404, "model 'ghidraagent' not found")


async def test_copilot_is_shown_the_name_it_asked_for(http: httpx.AsyncClient) -> None:
    headers = {"User-Agent": "GitHubCopilotChat/0.38"}
    body = {"model": "ghidraagent:latest"}
    shown = (await http.post("/api/show", json=body, headers=headers)).json()
    assert shown["model_info"]["general.basename"] == "ghidraagent:latest"
    others = (await http.post("/api/show", json=body)).json()
    assert others["model_info"]["general.basename"] == "llama2"


async def test_a7_ps_merges_what_the_agents_have_loaded_longest_remaining_first(
    http: httpx.AsyncClient,
) -> None:
    models = (await http.get("/api/ps")).json()["models"]
    assert [(model["name"], model["expires_at"]) for model in models] == [
        ("custom-agent:latest", FAR),
        ("ghidraagent:latest", NEAR),
    ]


async def test_ps_does_not_wait_for_an_agent_that_hangs(
    http: httpx.AsyncClient, agent: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "PS_LIMIT", 0.3)
    agent.on("/api/ps", [HANG])
    models = (await http.get("/api/ps")).json()["models"]
    assert [model["name"] for model in models] == ["custom-agent:latest"]


async def test_e1_e2_v1_models_lists_and_shows_the_agents(http: httpx.AsyncClient) -> None:
    listed = (await http.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["custom-agent", "ghidraagent"]
    assert {model["owned_by"] for model in listed["data"]} == {"library"}
    one = (await http.get("/v1/models/GhidraAgent:latest")).json()
    assert (one["id"], one["object"]) == ("GhidraAgent:latest", "model")
    nope = await http.get("/v1/models/nope")
    assert (nope.status_code, nope.json()["error"]["type"]) == (404, "not_found_error")


async def test_an_empty_fleet_is_an_empty_list_and_never_null(tmp_path: Path) -> None:
    async with (
        daemon(MemoryFleet(tmp_path)) as api,
        httpx.AsyncClient(base_url=api.url, timeout=LIMIT) as http,
    ):
        assert (await http.get("/api/tags")).json() == {"models": []}
        assert (await http.get("/api/ps")).json() == {"models": []}
        assert (await http.get("/v1/models")).json() == {"object": "list", "data": []}


async def test_a_hundred_agents_are_listed_from_memory(tmp_path: Path) -> None:
    """All of them played by one server: each is asked once, then nobody is."""
    async with Upstream() as crowd:
        rows = [row_of(f"agent{n:03}", port=crowd.port) for n in range(100)]
        names = [{"name": f"{row.slug}:latest", "details": {"family": "f"}} for row in rows]
        crowd.on("/api/tags", whole({"models": names}))
        crowd.on("/api/show", whole({"capabilities": []}))
        async with (
            daemon(MemoryFleet(tmp_path, *rows)) as api,
            httpx.AsyncClient(base_url=api.url, timeout=LIMIT) as http,
        ):
            assert len(await tags(http)) == 100
            crowd.requests.clear()
            began = time.monotonic()
            await tags(http)
            shows = (http.post("/api/show", json={"model": row.slug}) for row in rows)
            answers = await asyncio.gather(*shows)
            print(f"tags and 100 shows: {(time.monotonic() - began) * 1000:.0f} ms")
        assert {answer.status_code for answer in answers} == {200}
        assert crowd.requests == []


# with a real agent behind it


async def test_a_real_agent_answers_through_the_gateway_as_it_does_directly(
    served_agent: Served, tmp_path: Path
) -> None:
    row = row_of("GhidraAgent", port=served_agent.port)
    async with (
        daemon(MemoryFleet(tmp_path, row)) as api,
        httpx.AsyncClient(base_url=api.url, timeout=LIMIT) as http,
    ):
        chat = await http.post("/api/chat", json={**HELLO, "stream": False})
        assert chat.json()["message"]["content"] == "Hello wörld"
        stream = await http.post("/v1/chat/completions", json={**HELLO, "stream": True})
        assert stream.text.endswith("data: [DONE]\n\n")
        tags = (await http.get("/api/tags")).json()["models"]
        direct = (await http.get(served_agent.url + "/api/tags")).json()["models"]
        assert tags == direct[:1]
        shown = (await http.post("/api/show", json={"name": "GhidraAgent"})).json()
        url = served_agent.url + "/api/show"
        assert shown == (await http.post(url, json={"model": "ghidraagent"})).json()


@pytest.fixture
def served_agent(served: Served) -> Served:
    """The agent of conftest.py, under a name that hides nothing here."""
    return served
