"""ps, show, start, stop, restart: real processes against a real served management API."""

import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from atoll_supervisor.cli.codes import MEANINGS
from tests.fakes.cli import Said, atoll
from tests.fakes.fleet import MemoryFleet, row_of
from tests.fakes.served import TOKEN, Daemon, daemon, make_fleet

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with daemon(make_fleet(tmp_path)) as running:
        yield running


@pytest.fixture
def nobody() -> Iterator[dict[str, str]]:
    """A port where nobody listens, and nobody else will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield {"ATOLL_API_PORT": str(held.getsockname()[1])}


async def run(api: Daemon, home: Path, *args: str, stdin: str = "", **more: str) -> Said:
    env = {"ATOLL_API_PORT": str(api.port), "ATOLL_TOKEN": TOKEN} | more
    return await atoll(home, *args, stdin=stdin, more=env)


async def test_ps_shows_every_agent_and_why_one_is_not_well(api: Daemon, tmp_path: Path) -> None:
    said = await run(api, tmp_path, "ps")
    assert (said.code, said.err) == (0, "")
    head, *lines = said.out.splitlines()
    assert head.split() == [
        "NAME",
        "STATUS",
        "PORT",
        "PID",
        "UPTIME",
        "RESTARTS",
        "LAST",
        "EXIT",
        "CPU",
        "MEM",
        "MODEL",
        "BACKEND",
    ]
    assert re.split(r"\s{2,}", lines[0])[:2] == ["Custom Agent", "failed"]
    assert lines[1].split()[:7] == ["GhidraAgent", "running", "8100", "4321", "1h2m", "2", "-"]
    assert lines[2] == "! Custom Agent: exit 1"


@pytest.mark.parametrize("alias", ["ls", "list"])
async def test_ps_has_dockers_other_names(api: Daemon, tmp_path: Path, alias: str) -> None:
    assert "GhidraAgent" in (await run(api, tmp_path, alias)).out


async def test_quiet_prints_names_that_other_commands_take(api: Daemon, tmp_path: Path) -> None:
    assert (await run(api, tmp_path, "ps", "-q")).out == "custom-agent\nghidraagent\n"


async def test_long_values_are_cut_unless_asked_for_whole(tmp_path: Path) -> None:
    model = "a-model-with-a-name-that-goes-on-and-on-for-ever"
    async with daemon(MemoryFleet(tmp_path, row_of("One", model=model))) as api:
        assert model not in (await run(api, tmp_path, "ps")).out
        assert model in (await run(api, tmp_path, "ps", "--no-trunc")).out


async def test_json_is_one_document_of_the_apis_shape(api: Daemon, tmp_path: Path) -> None:
    listed = json.loads((await run(api, tmp_path, "ps", "--json")).out)
    assert [agent["slug"] for agent in listed["agents"]] == ["custom-agent", "ghidraagent"]
    shown = json.loads((await run(api, tmp_path, "show", "ghidraagent", "--json")).out)
    assert shown == listed["agents"][1]
    done = json.loads((await run(api, tmp_path, "stop", "--all", "--json")).out)
    assert [agent["status"] for agent in done["agents"]] == ["stopped", "stopped"]
    assert done["errors"] == []


async def test_an_empty_fleet_says_what_to_do(tmp_path: Path) -> None:
    async with daemon(MemoryFleet(tmp_path)) as api:
        said = await run(api, tmp_path, "ps")
    assert (said.code, said.out) == (0, "")
    assert "agent.toml" in said.err


async def test_show_tells_everything_of_one_agent(api: Daemon, tmp_path: Path) -> None:
    said = await run(api, tmp_path, "show", "GhidraAgent")
    assert said.code == 0
    assert "http://127.0.0.1:8100" in said.out
    assert "/fleet/ghidraagent/agent.toml" in said.out


@pytest.mark.parametrize("command", ["show", "start", "logs", "run"])
async def test_an_unknown_name_is_exit_4_with_the_nearest(
    api: Daemon, tmp_path: Path, command: str
) -> None:
    said = await run(api, tmp_path, command, "gidraagent", stdin="hello")
    assert (said.code, said.out) == (4, "")
    assert "did you mean `ghidraagent`?" in said.err


@pytest.mark.parametrize("name", ["", ".", "..", "ghidraagent/logs", "../agents"])
async def test_a_name_that_would_lead_to_another_route_is_nobodys(
    api: Daemon, tmp_path: Path, name: str
) -> None:
    said = await run(api, tmp_path, "show", name)
    assert (said.code, said.out) == (4, "")
    assert f"there is no agent {name!r}" in said.err


@pytest.mark.parametrize("command", ["start", "stop", "restart"])
async def test_an_action_reaches_the_agents_that_are_named(
    api: Daemon, tmp_path: Path, command: str
) -> None:
    said = await run(api, tmp_path, command, "GhidraAgent", "custom-agent", "GhidraAgent")
    assert said.code == 0
    assert "● GhidraAgent (Port: 8100) - " in said.out
    assert sorted(api.fleet.calls) == [
        (command, "custom-agent", True),
        (command, "ghidraagent", True),
    ]


async def test_all_means_every_agent(api: Daemon, tmp_path: Path) -> None:
    assert (await run(api, tmp_path, "restart", "--all")).code == 0
    assert {slug for _, slug, _ in api.fleet.calls} == {"custom-agent", "ghidraagent"}


@pytest.mark.parametrize("args", [[], ["--all", "ghidraagent"]])
async def test_names_or_all_and_not_both(api: Daemon, tmp_path: Path, args: list[str]) -> None:
    said = await run(api, tmp_path, "stop", *args)
    assert said.code == 2
    assert api.fleet.calls == []


async def test_an_agent_that_does_not_come_up_is_exit_1_with_its_reason(
    api: Daemon, tmp_path: Path
) -> None:
    api.fleet.stubborn.add("ghidraagent")
    said = await run(api, tmp_path, "start", "ghidraagent")
    assert said.code == 1
    assert "● GhidraAgent - failed: exit 1" in said.out
    assert "error: GhidraAgent is failed: exit 1" in said.err
    assert "atoll logs ghidraagent" in said.err


async def test_a_restart_that_left_the_old_process_serving_is_exit_1_with_its_reason(
    api: Daemon, tmp_path: Path
) -> None:
    api.fleet.kept.add("ghidraagent")
    said = await run(api, tmp_path, "restart", "ghidraagent")
    assert said.code == 1
    assert "error: GhidraAgent is not restarted: the new process did not start" in said.err
    told = await run(api, tmp_path, "restart", "ghidraagent", "--json")
    assert (told.code, json.loads(told.out)["agents"][0]["generation"]) == (1, 1)


async def test_some_done_and_some_not_is_exit_8(api: Daemon, tmp_path: Path) -> None:
    said = await run(api, tmp_path, "start", "ghidraagent", "nobody")
    assert said.code == 8
    assert "GhidraAgent" in said.out
    assert "no agent 'nobody'" in said.err


async def test_a_wrong_token_is_exit_6_and_says_where_the_right_one_is(
    api: Daemon, tmp_path: Path
) -> None:
    said = await run(api, tmp_path, "stop", "ghidraagent", ATOLL_TOKEN="wrong")
    assert said.code == 6
    assert "atoll token show" in said.err
    assert api.fleet.calls == []
    every = await run(api, tmp_path, "stop", "--all", ATOLL_TOKEN="wrong")
    assert (every.code, every.err) == (6, said.err)


async def test_the_token_is_found_in_the_state_directory(api: Daemon, tmp_path: Path) -> None:
    token = tmp_path / "state" / "token"
    token.parent.mkdir(mode=0o700)
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    said = await run(api, tmp_path, "stop", "ghidraagent", ATOLL_TOKEN="")
    assert said.code == 0
    shown = await run(api, tmp_path, "token", "show", ATOLL_TOKEN="")
    assert shown.out == f"{TOKEN}\n"


async def test_the_port_flag_wins_over_the_variable(api: Daemon, tmp_path: Path) -> None:
    said = await run(api, tmp_path, "ps", "--api-port", str(api.port), ATOLL_API_PORT="1024")
    assert said.code == 0


@pytest.mark.parametrize(
    "args",
    [
        ["ps"],
        ["show", "x"],
        ["start", "x"],
        ["stop", "--all"],
        ["logs"],
        ["logs", "-f", "x"],
        ["run", "x", "hi"],
        ["down"],
    ],
)
async def test_without_a_daemon_every_command_is_exit_3_and_names_the_cure(
    tmp_path: Path, nobody: dict[str, str], args: list[str]
) -> None:
    said = await atoll(tmp_path, *args, more=nobody)
    assert (said.code, said.out) == (3, "")
    assert "atoll up -d" in said.err
    assert "Traceback" not in said.err


async def test_escape_sequences_of_strangers_never_reach_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2Jgone \u202etxt\rover"
    rows = [
        row_of("Evil", status="failed", reason=evil, model=evil, description=evil, version=evil)
    ]
    async with daemon(MemoryFleet(tmp_path, *rows)) as api:
        for args in (["ps"], ["show", "evil"], ["start", "evil"]):
            said = await run(api, tmp_path, *args, FORCE_COLOR="1")
            for text in (said.out, said.err):
                assert not re.search(r"\x1b\]|\x1b\[2J|\u202e|\r|\x07", text)


async def test_an_unknown_command_is_exit_2_with_the_nearest(tmp_path: Path) -> None:
    said = await atoll(tmp_path, "logz")
    assert said.code == 2
    assert "Did you mean 'logs'?" in said.err


@pytest.mark.parametrize(
    ("args", "code"),
    [(["ps"], 3), (["stop"], 2), (["ps", "--nonsense"], 2), (["nonsense"], 2), (["show"], 2)],
)
async def test_with_json_an_error_is_one_document_too(
    tmp_path: Path, nobody: dict[str, str], args: list[str], code: int
) -> None:
    said = await atoll(tmp_path, *args, "--json", more=nobody)
    assert (said.code, said.out) == (code, "")
    assert set(json.loads(said.err)) == {"error", "hint"}


async def test_an_error_shows_its_traceback_only_with_debug(
    tmp_path: Path, nobody: dict[str, str]
) -> None:
    assert "Traceback" not in (await atoll(tmp_path, "ps", more=nobody)).err
    assert "Traceback" in (await atoll(tmp_path, "--debug", "ps", more=nobody)).err
    assert "Traceback" in (await atoll(tmp_path, "ps", "--debug", more=nobody)).err


async def test_something_else_on_the_port_is_said_to_be_something_else(tmp_path: Path) -> None:
    from tests.fakes.upstream import Upstream, whole

    async with Upstream() as other:
        other.on("/api/v1/agents", whole(b"<html>hello</html>"))
        said = await atoll(tmp_path, "ps", more={"ATOLL_API_PORT": str(other.port)})
    assert said.code == 1
    assert "not ATOLL's daemon" in said.err


async def test_the_exit_codes_are_printed(tmp_path: Path) -> None:
    said = await atoll(tmp_path, "help", "exit-codes")
    assert [int(line.split()[0]) for line in said.out.splitlines()] == [int(e) for e in MEANINGS]
    listed = json.loads((await atoll(tmp_path, "help", "exit-codes", "--json")).out)
    assert {"code": 3, "meaning": "no daemon is running"} in listed
