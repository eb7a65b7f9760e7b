"""`atoll run`: a real process talks to an agent's own /api/chat over a real socket."""

import asyncio
import json
import os
import pty
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from atoll.wire.events import Below, Failure, Token, ToolCall, ToolResult, Warning
from tests.fakes.children import TURNS, ended, says
from tests.fakes.cli import LIMIT, Said, atoll, environment
from tests.fakes.fleet import MemoryFleet, row_of
from tests.fakes.served import TOKEN, daemon
from tests.fakes.upstream import (
    Upstream,
    line,
    ollama_chat,
    ollama_end,
    ollama_line,
    streamed,
    whole,
)

pytestmark = pytest.mark.anyio


class Scene(NamedTuple):
    agent: Upstream
    home: Path
    env: dict[str, str]

    async def run(self, *args: str, stdin: str = "") -> Said:
        return await atoll(self.home, "run", *args, stdin=stdin, more=self.env)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with Upstream() as agent:
        agent.on("/api/chat", ollama_chat("Hel", "lo"))
        fleet = MemoryFleet(tmp_path, row_of("Helper", url=agent.url))
        async with daemon(fleet) as api:
            yield Scene(agent, tmp_path, {"ATOLL_API_PORT": str(api.port), "ATOLL_TOKEN": TOKEN})


async def test_the_answer_alone_is_on_stdout(scene: Scene) -> None:
    said = await scene.run("helper", "who", "are", "you?")
    assert said == Said(0, "Hello\n", "")
    body = scene.agent.requests[-1].json
    assert (body["model"], body["stream"]) == ("helper", True)
    assert body["messages"] == [{"role": "user", "content": "who are you?"}]


async def test_standard_input_is_the_prompt_and_comes_before_the_words(scene: Scene) -> None:
    await scene.run("helper", stdin="a long text\n")
    await scene.run("helper", "shorten it", stdin="a long text\n")
    asked = scene.agent.asked("/api/chat")
    prompts = [request.json["messages"][0]["content"] for request in asked]
    assert prompts == ["a long text", "a long text\n\nshorten it"]


async def test_no_prompt_at_all_is_a_usage_error(scene: Scene) -> None:
    said = await scene.run("helper")
    assert said.code == 2
    assert scene.agent.requests == []


async def test_verbose_prints_ollamas_timing_lines_on_stderr(scene: Scene) -> None:
    said = await scene.run("helper", "hi", "--verbose")
    assert said.out == "Hello\n"
    labels = [line.partition(":")[0] for line in said.err.strip().splitlines()]
    assert labels == [
        "total duration",
        "load duration",
        "prompt eval count",
        "prompt eval duration",
        "prompt eval rate",
        "eval count",
        "eval duration",
        "eval rate",
    ]
    assert "tokens/s" in said.err


async def test_json_passes_the_agents_lines_through(scene: Scene) -> None:
    said = await scene.run("helper", "hi", "--json")
    chunks = [json.loads(text) for text in said.out.splitlines()]
    assert "".join(chunk["message"]["content"] for chunk in chunks) == "Hello"
    assert chunks[-1]["done"] is True


async def test_thinking_and_tool_calls_stay_off_stdout(scene: Scene) -> None:
    call = {"function": {"name": "look_up", "arguments": {}}}
    scene.agent.on(
        "/api/chat",
        streamed(
            [
                ollama_line(thinking="hmm"),
                ollama_line(tool_calls=[call]),
                ollama_line("42"),
                ollama_end(),
            ]
        ),
    )
    said = await scene.run("helper", "hi")
    assert said.out == "42\n"
    assert "hmm" in said.err
    assert "look_up" in said.err


async def test_control_sequences_of_the_model_do_not_reach_the_terminal(scene: Scene) -> None:
    """Split over two chunks as well: half a sequence is as harmless as none."""
    scene.agent.on("/api/chat", ollama_chat("a\x1b]52;c;eA==\x07b\x1b", "[2Jc\u202e"))
    said = await scene.run("helper", "hi")
    assert "\x1b" not in said.out
    assert "\u202e" not in said.out
    assert said.out.startswith("ab")


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (whole({"error": "model is busy"}, "503 Service Unavailable"), "model is busy"),
        (whole(b"oops", "500 Internal Server Error"), "the agent answered 500"),
        (streamed([ollama_line("half"), line({"error": "the model died"})]), "the model died"),
        (streamed([ollama_line("half")]), "broke off"),
        (whole(b"<html>"), "does not speak Ollama's protocol"),
    ],
)
async def test_a_failed_answer_is_exit_1_and_says_why(
    scene: Scene, reply: list[bytes], sentence: str
) -> None:
    scene.agent.on("/api/chat", reply)
    said = await scene.run("helper", "hi")
    assert said.code == 1
    assert sentence in said.err
    assert "Traceback" not in said.err


async def test_an_agent_without_a_port_is_a_clear_failure(tmp_path: Path) -> None:
    row = row_of("Broken", status="failed", port=None, reason="agent.toml:3:1: unknown key")
    async with daemon(MemoryFleet(tmp_path, row)) as api:
        said = await atoll(tmp_path, "run", "broken", "hi", more={"ATOLL_API_PORT": str(api.port)})
    assert said.code == 1
    assert "agent.toml:3:1" in said.err


async def test_a_conversation_on_a_terminal_remembers_and_ends_with_bye(scene: Scene) -> None:
    leader, follower = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "atoll_supervisor", "run", "helper"),
        cwd=scene.home,
        env=environment(scene.home, scene.env | {"TERM": "dumb"}),
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    try:
        async with asyncio.timeout(LIMIT):
            await until(leader, ">>> ")
            os.write(leader, b"first\n")
            await until(leader, "Hello", ">>> ")
            os.write(leader, b"second\n")
            await until(leader, "Hello", ">>> ")
            os.write(leader, b"/bye\n")
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        os.close(leader)
    roles = [message["role"] for message in scene.agent.requests[-1].json["messages"]]
    assert roles == ["user", "assistant", "user"]


async def until(terminal: int, *wanted: str) -> None:
    """Read the terminal until these texts have appeared, in this order."""
    seen, left = "", list(wanted)
    while left:
        seen += (await asyncio.to_thread(os.read, terminal, 4096)).decode()
        while left and left[0] in seen:
            seen = seen.partition(left.pop(0))[2]


async def test_the_steps_of_an_agent_and_of_its_children_are_told_as_they_happen(
    scene: Scene,
) -> None:
    """On stderr, so that the answer alone is what a pipe gets."""
    ask = ToolCall("c1", "helper", {"task": "find the disks"})
    look = Below(("machine",), "run_m", ToolCall("m1", "disks", {"at": "/"}))
    seen = Below(("machine",), "run_m", ToolResult("m1", "disks", "40 GiB\nfree"))
    deep = Below(("machine", "deep"), "run_d", Warning("it is late"))
    told = [ask, look, seen, deep, ToolResult("c1", "helper", "room")]
    scene.agent.on(TURNS, says(*told, Token("There is "), Token("room."), ended("")))
    said = await scene.run("helper", "hi", "--verbose")
    assert said.out == "There is room.\n"
    assert said.err.splitlines()[:5] == [
        "[calls helper: find the disks]",
        '  machine [calls disks: {"at":"/"}]',
        "  machine [disks: 40 GiB free]",
        "    machine → deep [warning: it is late]",
        "[helper: room]",
    ]
    assert "prompt eval count:    5 token(s)" in said.err
    assert scene.agent.requests[-1].json == {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (says(Failure("child_lost", "helper went away", "agent", 502)), "helper went away"),
        (says(Token("half")), "broke off"),
        (says(b"garbage\n"), "is no agent of ATOLL"),
        (whole({"detail": "the agent is stopping"}, "503 Service Unavailable"), "is stopping"),
    ],
)
async def test_a_turn_that_fails_is_exit_1_and_says_why(
    scene: Scene, reply: list[bytes], sentence: str
) -> None:
    scene.agent.on(TURNS, reply)
    said = await scene.run("helper", "hi")
    assert said.code == 1
    assert sentence in said.err
    assert "Traceback" not in said.err


async def test_control_sequences_of_a_child_do_not_reach_the_terminal(scene: Scene) -> None:
    evil = "\x1b]52;c;eA==\x07\x1b[2J\u202e"
    told = Below((evil,), "r", ToolResult("c", evil, evil))
    scene.agent.on(TURNS, says(told, ToolCall("c", evil, {evil: evil}), ended("")))
    said = await scene.run("helper", "hi")
    assert said.code == 0
    assert not {"\x1b", "\u202e", "\x07"} & set(said.err + said.out)
