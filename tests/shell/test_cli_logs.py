"""`atoll logs`: the output of several agents, merged, finished or followed."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.cli import LIMIT, Said, atoll, spawn
from tests.fakes.served import TOKEN, Daemon, daemon, log_line, make_fleet

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with daemon(make_fleet(tmp_path)) as running:
        yield running


def where(api: Daemon) -> dict[str, str]:
    return {"ATOLL_API_PORT": str(api.port), "ATOLL_TOKEN": TOKEN}


async def logs(api: Daemon, home: Path, *args: str) -> Said:
    return await atoll(home, "logs", *args, more=where(api))


async def test_one_agents_lines_are_printed_bare(api: Daemon, tmp_path: Path) -> None:
    said = await logs(api, tmp_path, "GhidraAgent", "--tail", "2")
    assert (said.code, said.out) == (0, "line 3\nline 4\n")


async def test_all_agents_are_merged_by_time_under_their_names(api: Daemon, tmp_path: Path) -> None:
    said = await logs(api, tmp_path)
    assert said.out.splitlines() == [
        "ghidraagent  | line 0",
        "ghidraagent  | line 1",
        "custom-agent | oh no",
        "ghidraagent  | line 2",
        "ghidraagent  | line 3",
        "ghidraagent  | line 4",
    ]


async def test_timestamps_on_request(api: Daemon, tmp_path: Path) -> None:
    said = await logs(api, tmp_path, "-t", "custom-agent")
    assert said.out == "2026-11-21T04:00:02.000Z oh no\n"


async def test_json_is_one_object_a_line(api: Daemon, tmp_path: Path) -> None:
    said = await logs(api, tmp_path, "--json", "custom-agent")
    assert json.loads(said.out) == {
        "agent": "custom-agent",
        "at": "2026-11-21T04:00:02.000Z",
        "stream": "stderr",
        "line": "oh no",
    }


async def test_follow_shows_what_every_agent_prints_next_and_ends_with_ctrl_c(
    api: Daemon, tmp_path: Path
) -> None:
    process = await spawn(tmp_path, "logs", "-f", "--tail", "1", more=where(api))
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT):
            first = {await process.stdout.readline() for _ in range(2)}
            assert first == {b"ghidraagent  | line 4\n", b"custom-agent | oh no\n"}
            with api.fleet.log_file("custom-agent").open("a") as log:
                log.write(log_line(9, "and now"))
            assert await process.stdout.readline() == b"custom-agent | and now\n"
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, err.strip()) == (130, b"")


async def test_follow_ends_well_when_the_daemon_leaves(api: Daemon, tmp_path: Path) -> None:
    process = await spawn(tmp_path, "logs", "-f", more=where(api))
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT):
            await process.stdout.readline()
            api.leaving.set()
            _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, err) == (0, b"")


async def test_follow_with_a_wrong_token_is_exit_6(api: Daemon, tmp_path: Path) -> None:
    said = await atoll(tmp_path, "logs", "-f", more=where(api) | {"ATOLL_TOKEN": "wrong"})
    assert (said.code, said.out) == (6, "")
    assert said.err.startswith("error: this needs the management token")


async def test_a_reader_that_leaves_is_no_error(api: Daemon, tmp_path: Path) -> None:
    """`atoll logs | head -1`: no traceback, whatever the exit code of the pipe is."""
    api.fleet.log_file("ghidraagent").write_text(
        "".join(log_line(1, f"{n} {'x' * 500}") for n in range(5000))
    )
    process = await spawn(tmp_path, "logs", "--tail", "5000", "ghidraagent", more=where(api))
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(LIMIT):
        await process.stdout.readline()
        inside: Any = process
        inside._transport.get_pipe_transport(1).close()
        err = await process.stderr.read()
        await process.wait()
    assert b"Traceback" not in err
    assert b"Exception" not in err
