"""`atoll events`: what happened, finished or followed, over a daemon that is restarted."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from atoll_supervisor.core.effects import Record
from atoll_supervisor.core.phases import Ended
from atoll_supervisor.shell.event_log import EventLog
from tests.fakes.cli import LIMIT, Said, atoll, spawn
from tests.fakes.events import MemoryEvents, event
from tests.fakes.served import TOKEN, Daemon, daemon, make_fleet

pytestmark = pytest.mark.anyio

UP = Record(before="starting", after="running", cause="it is ready", generation=1)
DOWN = Record(
    before="running",
    after="backoff",
    cause="killed by SIGKILL",
    generation=1,
    ended=Ended(None, "SIGKILL", "killed by SIGKILL", 0.0),
)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EventLog]:
    opened = EventLog(tmp_path / "atoll.db", epoch=lambda: 1_795_233_600.0)
    yield opened
    await opened.close()


@pytest.fixture
async def api(tmp_path: Path, log: EventLog) -> AsyncIterator[Daemon]:
    async with daemon(make_fleet(tmp_path), events=log) as running:
        yield running


def where(api: Daemon) -> dict[str, str]:
    return {"ATOLL_API_PORT": str(api.port), "ATOLL_TOKEN": TOKEN}


async def events(api: Daemon, home: Path, *args: str) -> Said:
    return await atoll(home, "events", *args, more=where(api))


@asynccontextmanager
async def following(
    api: Daemon, home: Path, *args: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    process = await spawn(home, "events", "-f", *args, more=where(api))
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT):
            yield process, process.stdout
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_each_line_tells_when_who_what_why_and_how_it_ended(
    api: Daemon, log: EventLog, tmp_path: Path
) -> None:
    log.note("the daemon started")
    log.record("ghidraagent", UP)
    log.record("custom-agent", DOWN)
    said = await events(api, tmp_path)
    assert (said.code, said.err) == (0, "")
    time = "2026-11-21T04:00:00.000Z"
    assert said.out.splitlines() == [
        f"{time}  (daemon)  -                     the daemon started",
        f"{time}  ghidraagent  starting -> running   it is ready",
        f"{time}  custom-agent  running -> backoff    killed by SIGKILL  [SIGKILL]",
    ]


async def test_only_the_named_agents_and_only_the_last_are_shown(
    api: Daemon, log: EventLog, tmp_path: Path
) -> None:
    made = [log.record(unit, UP) for unit in ("ghidraagent", "other", "custom-agent") * 3]
    said = await events(api, tmp_path, "--json", "-n", "3", "GhidraAgent", "custom-agent")
    assert [json.loads(line)["id"] for line in said.out.splitlines()] == [
        made[index].id for index in (5, 6, 8)
    ]
    said = await events(api, tmp_path, "--json", "--after", str(made[3].id), "other")
    assert [json.loads(line)["id"] for line in said.out.splitlines()] == [made[4].id, made[7].id]
    assert (await events(api, tmp_path, "-n", "0")).out == ""


async def test_json_has_everything_the_api_gives(
    api: Daemon, log: EventLog, tmp_path: Path
) -> None:
    made = log.record("ghidraagent", DOWN)
    [line] = (await events(api, tmp_path, "--json")).out.splitlines()
    told = json.loads(line)
    assert (told["id"], told["unit"], told["exit"]["signal"]) == (made.id, "ghidraagent", "SIGKILL")


async def test_a_dangerous_daemon_cannot_touch_the_terminal(tmp_path: Path) -> None:
    """What ATOLL's own daemon has made safe is made safe again here."""
    evil = MemoryEvents(event(1, unit="a\x1b[2J", cause="\x1b]52;c;ZXZpbA==\x07\nforged line"))
    async with daemon(make_fleet(tmp_path), events=evil) as api:
        said = await events(api, tmp_path)
    assert len(said.out.splitlines()) == 1
    assert "\x1b" not in said.out
    assert "ZXZpbA" not in said.out


async def test_colour_is_a_matter_of_the_terminal_and_of_no_color(
    api: Daemon, log: EventLog, tmp_path: Path
) -> None:
    log.record("ghidraagent", UP)
    coloured = await atoll(tmp_path, "events", more=where(api) | {"FORCE_COLOR": "1"})
    assert "\x1b[32m" in coloured.out
    plain = await atoll(tmp_path, "events", more=where(api) | {"FORCE_COLOR": "1", "NO_COLOR": "1"})
    assert "\x1b" not in plain.out


async def test_an_unknown_agent_is_exit_4_and_a_wrong_token_exit_6(
    api: Daemon, tmp_path: Path
) -> None:
    for flags in ((), ("-f",)):
        unknown = await events(api, tmp_path, *flags, "gidraagent")
        assert (unknown.code, unknown.out) == (4, "")
        assert "did you mean `ghidraagent`?" in unknown.err
        wrong = await atoll(tmp_path, "events", *flags, more=where(api) | {"ATOLL_TOKEN": "wrong"})
        assert (wrong.code, wrong.out) == (6, "")


async def test_without_a_daemon_following_does_not_wait(tmp_path: Path) -> None:
    said = await atoll(tmp_path, "events", "-f", more={"ATOLL_API_PORT": "1024"})
    assert said.code == 3


async def test_follow_shows_what_happens_next_to_the_named_and_ends_with_ctrl_c(
    api: Daemon, log: EventLog, tmp_path: Path
) -> None:
    log.record("ghidraagent", UP)
    async with following(api, tmp_path, "ghidraagent", "custom-agent") as (process, lines):
        assert b"ghidraagent" in await lines.readline()
        log.record("other", DOWN)
        log.record("custom-agent", DOWN)
        assert b"custom-agent  running -> backoff" in await lines.readline()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert (process.returncode, out, err.strip()) == (130, b"", b"")


async def test_follow_goes_on_over_a_restart_of_the_daemon(tmp_path: Path, log: EventLog) -> None:
    """Nothing is missed, nothing shown twice, and the person is told once."""
    fleet = make_fleet(tmp_path)
    first = log.record("ghidraagent", UP)
    async with AsyncExitStack() as outer:
        async with daemon(fleet, events=log) as old:
            process, lines = await outer.enter_async_context(following(old, tmp_path, "--json"))
            assert json.loads(await lines.readline())["id"] == first.id
            second = log.record("ghidraagent", DOWN)
            assert json.loads(await lines.readline())["id"] == second.id
            old.leaving.set()
        missed = log.record("ghidraagent", UP)
        async with daemon(fleet, events=log, port=old.port):
            assert json.loads(await lines.readline())["id"] == missed.id
            live = log.record("ghidraagent", DOWN)
            assert json.loads(await lines.readline())["id"] == live.id
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
    assert (process.returncode, out) == (130, b"")
    assert err.strip() == b"the daemon went away; waiting for it to come back"


async def test_follow_ends_well_when_the_daemon_left_for_good(
    tmp_path: Path, log: EventLog
) -> None:
    log.record("ghidraagent", UP)
    async with daemon(make_fleet(tmp_path), events=log) as api:
        process = await spawn(tmp_path, "events", "-f", more=where(api))
        assert process.stdout is not None
        async with asyncio.timeout(LIMIT):
            await process.stdout.readline()
            while not log._followers:
                await asyncio.sleep(0.01)
        api.leaving.set()
    async with asyncio.timeout(LIMIT):
        _, err = await process.communicate()
    assert process.returncode == 0
    assert err == b"the daemon went away; waiting for it to come back\n"
