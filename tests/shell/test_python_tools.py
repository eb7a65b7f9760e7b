"""tools.py files, really imported and really called."""

import asyncio
import textwrap
from pathlib import Path

import pytest

from atoll.adapters.clock import SystemClock
from atoll.adapters.ollama import OllamaModel, ollama_peer
from atoll.adapters.python_tools import PythonTools, load_tools
from atoll.errors import AgentError
from atoll.ports import ModelRequest, Outcome
from atoll.wire.messages import Call, Message
from tests.fakes.collect import collect, text_of
from tests.fakes.upstream import Upstream, ollama_chat

pytestmark = pytest.mark.anyio

SOURCE = '''
import asyncio
import sys
import time
from typing import Literal

import msgspec

class Place(msgspec.Struct):
    town: str

def add(a: int, b: int = 2) -> int:
    """Add two numbers.

    Args:
        a: the first number
        b: the second
    """
    return a + b

async def shout(text: str, tone: Literal["loud", "soft"] = "loud") -> str:
    """Say it
    again, louder."""
    return text.upper()

def where(place: Place) -> dict[str, str]:
    return {"town": place.town}

def boom() -> None:
    raise ValueError("no")

def slow() -> None:
    time.sleep(0.5)

def long(n: int) -> str:
    return "x" * n

def unserialisable() -> object:
    return object()

def late() -> None:
    raise TimeoutError("the town hall is slow")

def picky() -> None:
    msgspec.convert("x", int)

def leave() -> None:
    sys.exit("nope")

async def leave_later() -> None:
    raise SystemExit(3)

async def break_off() -> None:
    raise asyncio.CancelledError

def interrupt() -> None:
    raise KeyboardInterrupt

def stop() -> None:
    raise StopIteration

def torn() -> str:
    return "a\\ud83db"

def torn_inside() -> dict[str, str]:
    return {"k": "a\\ud83db"}

def torn_error() -> None:
    raise ValueError("a\\ud83db")

def speechless() -> None:
    raise Speechless

class Speechless(Exception):
    def __str__(self) -> str:
        raise ValueError

def _private(a: int) -> int:
    return a
'''


HANGS = """
import asyncio
import threading

def hang() -> None:
    threading.Event().wait(60)

async def wait() -> None:
    await asyncio.sleep(60)
"""


def tools_file(folder: Path, source: str = SOURCE) -> Path:
    path = folder / "tools.py"
    path.write_text(textwrap.dedent(source))
    return path


def box(folder: Path, *, allow: tuple[str, ...] = ("*",), timeout: float = 10.0) -> PythonTools:
    return PythonTools(load_tools(tools_file(folder)), allow, timeout, 100)


async def answer(tools: PythonTools, name: str, **arguments: object) -> tuple[str, bool]:
    outcome = await tools.call(Call("call_1", name, arguments))
    return outcome.text, outcome.failed


def test_every_public_function_becomes_a_tool_with_a_schema(tmp_path: Path) -> None:
    specs = {spec.name: spec for spec in box(tmp_path).specs}
    assert list(specs)[:7] == ["add", "shout", "where", "boom", "slow", "long", "unserialisable"]
    assert "_private" not in specs
    assert specs["add"].description == "Add two numbers."
    assert specs["add"].parameters["required"] == ["a"]
    assert specs["add"].parameters["properties"]["a"] == {
        "type": "integer",
        "description": "the first number",
    }
    assert specs["shout"].description == "Say it again, louder."
    assert specs["shout"].parameters["properties"]["tone"]["enum"] == ["loud", "soft"]
    assert specs["where"].parameters["$defs"]["Place"]["properties"] == {"town": {"type": "string"}}


async def test_sync_and_async_functions_run_and_keep_their_defaults(tmp_path: Path) -> None:
    tools = box(tmp_path)
    assert await answer(tools, "add", a=1) == ("3", False)
    assert await answer(tools, "shout", text="hi") == ("HI", False)
    assert await answer(tools, "where", place={"town": "Turku"}) == ('{"town":"Turku"}', False)


async def test_a_small_models_number_written_as_text_is_understood(tmp_path: Path) -> None:
    assert await answer(box(tmp_path), "add", a="1", b="4") == ("5", False)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("boom", {}, "boom failed: ValueError: no"),
        ("add", {}, "wrong arguments for add"),
        ("add", {"a": 1, "c": 2}, "wrong arguments for add"),
        ("shout", {"text": "hi", "tone": "mild"}, "wrong arguments for shout"),
        ("nothing", {}, "there is no tool 'nothing'; known tools: add"),
        ("_private", {"a": 1}, "there is no tool '_private'"),
        ("unserialisable", {}, "unserialisable failed: TypeError"),
        ("late", {}, "late failed: TimeoutError: the town hall is slow"),
        ("picky", {}, "picky failed: ValidationError: Expected `int`"),
        ("leave", {}, "leave failed: SystemExit: nope"),
        ("leave_later", {}, "leave_later failed: SystemExit: 3"),
        ("break_off", {}, "break_off failed: RuntimeError: CancelledError"),
        ("interrupt", {}, "interrupt failed: RuntimeError: KeyboardInterrupt"),
        ("stop", {}, "stop failed: RuntimeError: "),
        ("torn_error", {}, "torn_error failed: ValueError: a?b"),
        ("speechless", {}, "speechless failed: Speechless"),
    ],
)
async def test_a_tools_fault_is_a_result_and_not_a_crash(
    tmp_path: Path, name: str, arguments: dict[str, object], words: str
) -> None:
    text, failed = await answer(box(tmp_path), name, **arguments)
    assert failed
    assert text.startswith(words)


@pytest.mark.parametrize(("name", "text"), [("torn", "a?b"), ("torn_inside", '{"k": "a?b"}')])
async def test_a_result_with_half_a_character_can_be_sent_to_a_real_server(
    tmp_path: Path, name: str, text: str
) -> None:
    outcome = await box(tmp_path).call(Call("call_1", name, {}))
    assert outcome == Outcome(text)
    async with Upstream() as upstream:
        upstream.on("/api/chat", ollama_chat("fine"))
        model = OllamaModel(ollama_peer(upstream.url), "tiny", SystemClock())
        told = Message(role="tool", content=outcome.text, tool_name=name, call_id="call_1")
        assert text_of(await collect(model, ModelRequest(messages=(told,)))) == "fine"
        assert upstream.requests[0].json["messages"][0]["content"] == text
        await model.close()


async def test_cancelling_a_call_is_not_taken_for_a_fault_of_the_tool(tmp_path: Path) -> None:
    tools = PythonTools(load_tools(tools_file(tmp_path, HANGS)), ("*",), 60.0, 100)
    calls = [asyncio.create_task(answer(tools, name)) for name in ("hang", "wait")]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
    assert [type(error) for error in ended] == [asyncio.CancelledError] * 2


async def test_a_tool_that_blocks_is_given_up_at_its_time_limit(tmp_path: Path) -> None:
    assert await answer(box(tmp_path, timeout=0.05), "slow") == (
        "slow did not finish within 0.05 s",
        True,
    )


async def test_a_long_result_is_cut_with_a_marker(tmp_path: Path) -> None:
    text, _ = await answer(box(tmp_path), "long", n=150)
    assert text == "x" * 100 + "\n[cut: 50 characters more]"


async def test_a_tool_that_is_not_allowed_does_not_exist(tmp_path: Path) -> None:
    tools = box(tmp_path, allow=("add",))
    assert [spec.name for spec in tools.specs] == ["add"]
    _, failed = await answer(tools, "boom")
    assert failed


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def f(:\n", "tools.py:1: SyntaxError: "),
        ("import nowhere_at_all\n", "tools.py:1: ModuleNotFoundError"),
        ("raise RuntimeError('at start')\n", "tools.py:1: RuntimeError: at start"),
        ("import sys\n\nsys.exit('nope')\n", "tools.py:3: SystemExit: nope"),
        ("import json\njson.loads('{')\n", "tools.py:2: JSONDecodeError"),
        ("def f(a: list[int] = [1]) -> int:\n    return 1\n", "tools.py: f(): TypeError"),
        ("class C: ...\ndef f(a: C) -> int:\n    return 1\n", "tools.py: f(): TypeError"),
        ("def f(a: object) -> int:\n    return 1\n", "tools.py: f(): "),
        ("def f(a: '1 +') -> int:\n    return 1\n", "tools.py: f(): SyntaxError"),
        ("def f(a):\n    return a\n", "f() needs a plain parameter with a type hint instead of a"),
        ("def f(*a: int) -> int:\n    return 1\n", "instead of *a: int"),
        ("def f(a: 'Nowhere') -> int:\n    return 1\n", "f(): NameError: name 'Nowhere' is"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, source: str, words: str) -> None:
    with pytest.raises(AgentError) as caught:
        load_tools(tools_file(tmp_path, source))
    assert words in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no such file"):
        load_tools(tmp_path / "tools.py")
