"""An agent's output over a real socket: the tail, and what is printed afterwards."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.served import TOKEN, Daemon, daemon, log_line, make_fleet

pytestmark = pytest.mark.anyio

LOGS = "/api/v1/agents/GhidraAgent/logs"
NDJSON = {"Accept": "application/x-ndjson"}
WAIT = 20


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with daemon(make_fleet(tmp_path)) as running:
        yield running


@pytest.fixture
async def http(api: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=WAIT) as client:
        yield client


async def test_the_tail_is_plain_text_and_ends(http: httpx.AsyncClient) -> None:
    answer = await http.get(LOGS, params={"tail": 2})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.text == log_line(3, "line 3") + log_line(4, "line 4")


async def test_ndjson_gives_time_stream_and_line(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/v1/agents/custom-agent/logs", headers=NDJSON)
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        {"at": "2026-11-21T04:00:02.000Z", "stream": "stderr", "line": "oh no"}
    ]


async def test_follow_goes_on_with_new_lines(http: httpx.AsyncClient, api: Daemon) -> None:
    path = api.fleet.log_file("ghidraagent")
    async with asyncio.timeout(WAIT):
        async with http.stream("GET", LOGS, params={"tail": 1, "follow": "true"}) as answer:
            lines = answer.aiter_lines()
            assert (await anext(lines)).endswith("line 4")
            with path.open("a") as log:
                log.write(log_line(9, "something new"))
            assert (await anext(lines)).endswith("something new")


async def test_follow_ends_when_the_client_goes(http: httpx.AsyncClient, api: Daemon) -> None:
    """The file is open while somebody follows it, and no longer."""
    path = api.fleet.log_file("ghidraagent")
    async with http.stream("GET", LOGS, params={"follow": "true"}) as answer:
        await anext(answer.aiter_lines())
        assert is_open(path)
    async with asyncio.timeout(WAIT):
        while is_open(path):
            await asyncio.sleep(0.05)


async def test_control_characters_are_neutralised(http: httpx.AsyncClient, api: Daemon) -> None:
    evil = (
        "\x1b[31mred\x1b[0m \x1b]52;c;ZXZpbA==\x07clip "
        "\x1b]8;;http://evil\x1b\\link bell\x07 \u202eback \x9b2J"
    )
    api.fleet.log_file("ghidraagent").write_text(log_line(1, evil))
    for headers in ({}, NDJSON):
        text = (await http.get(LOGS, headers=headers)).text
        assert "red" in text
        assert "link" in text
        assert not any(char < " " or char in "\x7f\x9b\u202e" for char in text.rstrip("\n"))
        assert "ZXZpbA" not in text


async def test_one_record_stays_one_line(http: httpx.AsyncClient, api: Daemon) -> None:
    api.fleet.log_file("ghidraagent").write_text(
        log_line(1, "a\rb\u2028c\x0bd\x85e") + log_line(2, "end")
    )
    assert len((await http.get(LOGS)).text.splitlines()) == 2
    assert len((await http.get(LOGS, headers=NDJSON)).text.splitlines()) == 2


async def test_a_line_that_is_no_record_is_given_as_it_is(
    http: httpx.AsyncClient, api: Daemon
) -> None:
    api.fleet.log_file("ghidraagent").write_text("just text\n")
    assert (await http.get(LOGS, headers=NDJSON)).json() == {
        "at": None,
        "stream": "stdout",
        "line": "just text",
    }


async def test_an_agent_that_never_ran_has_an_empty_log(
    http: httpx.AsyncClient, api: Daemon
) -> None:
    api.fleet.log_file("ghidraagent").unlink()
    answer = await http.get(LOGS)
    assert (answer.status_code, answer.text) == (200, "")


@pytest.mark.parametrize("query", ["tail=-1", "tail=x", "tail=1e9", "follow=perhaps"])
async def test_a_wrong_parameter_is_400_and_names_it(http: httpx.AsyncClient, query: str) -> None:
    answer = await http.get(f"{LOGS}?{query}")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(query.partition("=")[0])


async def test_follow_ends_cleanly_when_the_daemon_leaves(
    http: httpx.AsyncClient, api: Daemon
) -> None:
    async with asyncio.timeout(WAIT):
        async with http.stream("GET", LOGS, params={"tail": 1, "follow": "true"}) as answer:
            lines = answer.aiter_lines()
            assert (await anext(lines)).endswith("line 4")
            api.leaving.set()
            assert [line async for line in lines] == []


async def test_great_logs_do_not_keep_other_requests_waiting(
    http: httpx.AsyncClient, api: Daemon
) -> None:
    """Four at once over 50 MB each: the loop is never blocked for long."""
    path = api.fleet.log_file("ghidraagent")
    block = "".join(log_line(1, f"{n} \u20ac {'x' * 20}") for n in range(1000)) * 160
    for file in (path, *(path.with_name(f"{path.name}.{n}") for n in range(1, 5))):
        file.write_text(block)

    async def read() -> int:
        size = 0
        async with http.stream("GET", LOGS, params={"tail": 100_000}) as answer:
            async for piece in answer.aiter_raw():
                size += len(piece)
        return size

    reading = asyncio.gather(*(read() for _ in range(4)))
    waits: list[float] = []
    while not reading.done():
        begun = time.monotonic()
        assert (await http.get("/health")).status_code == 200
        waits.append(time.monotonic() - begun)
    assert min(await reading) > 5_000_000
    print(f"{len(waits)} answers, the slowest after {max(waits):.3f} s")
    assert max(waits) < 1.0


def is_open(path: Path) -> bool:
    return any(fd.resolve() == path for fd in Path("/proc/self/fd").iterdir() if fd.exists())
