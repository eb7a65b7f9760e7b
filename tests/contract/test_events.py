"""Events over a real socket: read, replayed, streamed, resumed."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import httpx
import pytest

from atoll_supervisor.core.effects import Record
from atoll_supervisor.core.phases import Ended
from atoll_supervisor.shell.event_log import RECENT, EventLog
from tests.fakes.served import TOKEN, Daemon, daemon, make_fleet

pytestmark = pytest.mark.anyio

ALL = "/api/v1/events"
ONE = "/api/v1/agents/GhidraAgent/events"
SSE = {"Accept": "text/event-stream"}
NDJSON = {"Accept": "application/x-ndjson"}
WAIT = 20
UP = Record(before="starting", after="running", cause="it is ready", generation=1, pid=4321)
DOWN = Record(
    before="running",
    after="backoff",
    cause="killed by SIGKILL",
    generation=1,
    restarts=2,
    ended=Ended(None, "SIGKILL", "killed by SIGKILL", 0.0),
)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EventLog]:
    opened = EventLog(tmp_path / "atoll.db", pulse=0.1)
    yield opened
    await opened.close()


@pytest.fixture
async def api(tmp_path: Path, log: EventLog) -> AsyncIterator[Daemon]:
    async with daemon(make_fleet(tmp_path), events=log) as running:
        yield running


@pytest.fixture
async def http(api: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=WAIT) as client:
        yield client


def ids(body: list[dict[str, object]]) -> list[object]:
    return [one["id"] for one in body]


async def sent(answer: httpx.Response) -> AsyncGenerator[dict[str, str]]:
    """Each server-sent event as its fields, by the rules of the HTML standard."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(":")
        if line and name:
            fields[name] = value.removeprefix(" ")
        elif not line and "data" in fields:
            yield fields
            fields = {}
        elif not line:
            fields = {}


async def test_json_gives_the_newest_oldest_first(http: httpx.AsyncClient, log: EventLog) -> None:
    up, down = log.record("ghidraagent", UP), log.record("ghidraagent", DOWN)
    body = (await http.get(ALL)).raise_for_status().json()
    assert body["count"] == 2
    assert body["events"][0] == {
        "id": up.id,
        "at": up.at,
        "unit": "ghidraagent",
        "before": "starting",
        "after": "running",
        "cause": "it is ready",
        "generation": 1,
        "pid": 4321,
        "restarts": 0,
        "exit": None,
    }
    ended = body["events"][1]["exit"]
    assert (ended["code"], ended["signal"], ended["reason"]) == (
        None,
        "SIGKILL",
        "killed by SIGKILL",
    )
    assert ids((await http.get(ALL, params={"tail": 1})).json()["events"]) == [down.id]
    assert (await http.get(ALL, params={"tail": 0})).json() == {"events": [], "count": 0}


async def test_after_gives_what_follows_page_by_page(
    http: httpx.AsyncClient, log: EventLog
) -> None:
    made = [log.record("ghidraagent", UP).id for _ in range(5)]
    found = await http.get(ALL, params={"after": made[0], "tail": 2})
    assert ids(found.json()["events"]) == made[1:3]
    assert ids((await http.get(ALL, params={"after": made[2]})).json()["events"]) == made[3:]
    assert (await http.get(ALL, params={"after": made[4]})).json()["count"] == 0


async def test_an_agents_events_are_its_own(http: httpx.AsyncClient, log: EventLog) -> None:
    mine = log.record("ghidraagent", UP)
    log.record("custom-agent", UP)
    log.note("the daemon is here")
    for name in ("GhidraAgent", "ghidraagent", "ghidraagent:latest"):
        body = (await http.get(f"/api/v1/agents/{name}/events")).json()
        assert ids(body["events"]) == [mine.id]


async def test_events_of_an_agent_that_is_gone_can_be_read(
    http: httpx.AsyncClient, log: EventLog
) -> None:
    made = log.record("old-timer", DOWN)
    assert ids((await http.get("/api/v1/agents/Old Timer/events")).json()["events"]) == [made.id]


async def test_an_agent_that_never_was_is_404_with_the_nearest(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/v1/agents/gidraagent/events", headers=SSE)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "did you mean `ghidraagent`?" in answer.json()["detail"]


async def test_ndjson_gives_one_object_a_line_and_follows_on_request(
    http: httpx.AsyncClient, log: EventLog
) -> None:
    first = log.record("ghidraagent", UP)
    answer = await http.get(ONE, headers=NDJSON)
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert ids([json.loads(line) for line in answer.text.splitlines()]) == [first.id]
    async with asyncio.timeout(WAIT):
        async with http.stream("GET", ONE, headers=NDJSON, params={"follow": "true"}) as stream:
            lines = (line async for line in stream.aiter_lines() if line)
            assert json.loads(await anext(lines))["id"] == first.id
            second = log.record("ghidraagent", DOWN)
            assert json.loads(await anext(lines))["id"] == second.id
        async with http.stream("GET", ONE, params={"follow": "true", "tail": 1}) as stream:
            assert stream.headers["content-type"].startswith("application/x-ndjson")
            assert json.loads(await anext(stream.aiter_lines()))["id"] == second.id


@pytest.mark.parametrize("path", [ALL, ONE])
async def test_the_token_is_needed(api: Daemon, path: str) -> None:
    async with httpx.AsyncClient(base_url=api.url) as stranger:
        for headers in ({}, SSE, NDJSON):
            assert (await stranger.get(path, headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "query", [{"after": "x"}, {"after": -1}, {"tail": 10_001}, {"after": 2**63}]
)
async def test_a_wrong_parameter_is_named(http: httpx.AsyncClient, query: dict[str, str]) -> None:
    answer = await http.get(ALL, params=query)
    assert answer.status_code == 400
    assert next(iter(query)) in answer.json()["detail"]


async def test_a_stream_begins_now_and_names_each_event(
    http: httpx.AsyncClient, log: EventLog
) -> None:
    log.record("ghidraagent", UP)
    async with asyncio.timeout(WAIT), http.stream("GET", ALL, headers=SSE) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["cache-control"] == "no-cache"
        events = sent(answer)
        lines = asyncio.create_task(anext(events))
        await followed(log)
        down, note = log.record("ghidraagent", DOWN), log.note("the disk is full")
        first, second = await lines, await anext(events)
    assert (first["id"], first["event"]) == (str(down.id), "transition")
    assert (second["id"], second["event"]) == (str(note.id), "note")
    assert json.loads(second["data"])["cause"] == "the disk is full"
    assert json.loads(first["data"])["exit"]["signal"] == "SIGKILL"


async def followed(log: EventLog) -> None:
    async with asyncio.timeout(WAIT):
        while not log._followers:
            await asyncio.sleep(0.01)


async def test_an_idle_stream_shows_that_it_lives(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(WAIT), http.stream("GET", ALL, headers=SSE) as answer:
        lines = answer.aiter_lines()
        found = [await anext(lines) for _ in range(6)]
    assert found == ["retry: 1000", "", ":", "", ":", ""]


async def test_a_reader_that_reconnects_misses_nothing_and_gets_nothing_twice(
    http: httpx.AsyncClient, log: EventLog
) -> None:
    """Last-Event-ID over many short connections while events keep coming."""
    made = [log.note("the beginning")]

    async def happen() -> None:
        for _ in range(60):
            made.extend(log.record("ghidraagent", UP) for _ in range(10))
            await asyncio.sleep(0.01)

    happening = asyncio.create_task(happen())
    got = [str(made[0].id)]
    async with asyncio.timeout(WAIT):
        while len(got) < 1 + 600:
            headers = {**SSE, "Last-Event-ID": got[-1]}
            async with http.stream("GET", ONE, headers=headers, params={"after": 0}) as answer:
                events = sent(answer)
                got += [(await anext(events))["id"] for _ in range(40)]
        await happening
    assert got == [str(one.id) for one in made]


async def test_a_slow_reader_is_given_everything_when_it_reads_again(
    http: httpx.AsyncClient, log: EventLog
) -> None:
    """What it does not take stays in the database: more than all buffers on the way hold."""
    long = Record(before="starting", after="running", cause="x" * 900, generation=1)
    async with asyncio.timeout(50), http.stream("GET", ALL, headers=SSE) as answer:
        events = sent(answer)
        first = asyncio.create_task(anext(events))
        await followed(log)
        made = [log.record("ghidraagent", long)]
        await first
        for _ in range(100):
            made += [log.record("ghidraagent", long) for _ in range(100)]
            await asyncio.sleep(0.01)
        while log._stored < log._newest:
            await asyncio.sleep(0.01)
        assert len(log._recent) <= RECENT
        got = [await first, *[await anext(events) for _ in range(10_000)]]
    assert [one["id"] for one in got] == [str(one.id) for one in made]


async def test_a_stream_ends_after_its_last_event_when_the_daemon_leaves(
    http: httpx.AsyncClient, api: Daemon, log: EventLog
) -> None:
    async with asyncio.timeout(WAIT), http.stream("GET", ALL, headers=SSE) as answer:
        events = sent(answer)
        first = asyncio.create_task(anext(events))
        await followed(log)
        last = [log.note("the daemon is going down"), log.note("goodbye")]
        api.leaving.set()
        got = [await first, *[one async for one in events]]
    assert [one["id"] for one in got] == [str(one.id) for one in last]


async def test_nobody_follows_any_more_when_the_reader_has_gone(
    http: httpx.AsyncClient, log: EventLog
) -> None:
    async with http.stream("GET", ALL, headers=SSE) as answer:
        await anext(answer.aiter_lines())
        await followed(log)
    async with asyncio.timeout(WAIT):
        while log._followers:
            await asyncio.sleep(0.01)


async def test_a_page_of_a_stranger_cannot_listen(http: httpx.AsyncClient) -> None:
    """A browser's EventSource sends the Origin of its page when that is another one."""
    answer = await http.get(ALL, headers={**SSE, "Origin": "https://evil.example"})
    assert answer.status_code == 403


async def test_an_agent_may_be_called_events(http: httpx.AsyncClient) -> None:
    """Its row is not taken for a stream, of which there is no HEAD."""
    assert (await http.head("/api/v1/agents/events")).status_code == 404
    assert (await http.head("/api/v1/agents/events/events")).status_code == 405


async def test_the_document_describes_both_routes(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    for path in (ALL, "/api/v1/agents/{name}/events"):
        told = paths[path]["get"]
        names = {parameter["name"] for parameter in told["parameters"]}
        assert names >= {"after", "tail", "follow", "Last-Event-ID"}
        assert set(told["responses"]) >= {"200", "400", "401"}
        schema = told["responses"]["200"]["content"]["application/json"]["schema"]
        assert schema["$ref"].endswith("/EventList")
