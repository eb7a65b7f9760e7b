"""The second sandbox, pydantic-monty: the same promises as far as it can keep them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from atoll.adapters.sandbox import choosing
from atoll.adapters.sandbox.monty import MontySpace, open_monty
from atoll.config.manifest import Sandbox
from atoll.errors import AgentError
from atoll.ports import CodeOutcome
from tests.fakes.sandbox import SMALL, EchoHost

pytestmark = pytest.mark.anyio

BRIEF = msgspec.structs.replace(SMALL, seconds=1.0, memory=50_000_000)


@asynccontextmanager
async def space() -> AsyncIterator[MontySpace]:
    engine = await open_monty(BRIEF)
    opened = await engine.open()
    try:
        yield opened
    finally:
        await opened.close()
        await engine.close()


async def ran(box: MontySpace, code: str) -> CodeOutcome:
    async with asyncio.timeout(30):
        return await box.run(code, EchoHost())


async def test_variables_and_functions_last_from_step_to_step() -> None:
    async with space() as box:
        await ran(box, "def double(n):\n    return 2 * n\nx = 21")
        assert await ran(box, "print('hi')\ndouble(x)") == CodeOutcome(output="hi\n", value="42")


async def test_an_error_is_a_traceback_and_the_variables_stay() -> None:
    async with space() as box:
        outcome = await ran(box, "x = 1\n1 / 0")
        assert outcome.error.endswith("ZeroDivisionError: division by zero")
        assert "SyntaxError" in (await ran(box, "def f(:")).error
        assert (await ran(box, "x")).value == "1"


@pytest.mark.parametrize(
    ("code", "answer"), [("SUBMIT('Bücher')", "Bücher"), ("SUBMIT([1, None])", "[1, null]")]
)
async def test_submit_ends_the_step_with_the_answer(code: str, answer: str) -> None:
    async with space() as box:
        outcome = await ran(box, f"{code}\nprint('not reached')")
        assert outcome == CodeOutcome(submitted=answer)


async def test_code_asks_the_model_once_and_in_batches() -> None:
    async with space() as box:
        outcome = await ran(box, "[llm_query('a')] + llm_query_batched(['b', 'c'])")
        assert outcome.value == "['A', 'B', 'C']"
        assert (await ran(box, "llm_query_batched([])")).value == "[]"
        assert "TypeError" in (await ran(box, "llm_query(5)")).error
        assert "TypeError" in (await ran(box, "llm_query()")).error


async def test_over_the_budget_the_code_is_told_and_in_the_end_ended() -> None:
    async with space() as box:
        assert "no calls are left" in (await box.run("llm_query('a')", EchoHost(calls=0))).error
        code = (
            "while True:\n    try:\n        llm_query('a')\n    except RuntimeError:\n        pass"
        )
        assert "in vain" in (await box.run(code, EchoHost(calls=0))).error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("while True: pass", "it took over 1 s; the variables are as before this code"),
        ("while True: print('x' * 1000)", "it printed without end"),
        ("a = [0] * 10**8", "MemoryError"),
        ("a = []\nwhile True: a.append('x' * 10**6 + str(len(a)))", "MemoryError"),
    ],
)
async def test_limits_hold_and_the_variables_stay(code: str, words: str) -> None:
    async with space() as box:
        await ran(box, "x = 1")
        outcome = await ran(box, code)
        assert words in outcome.error
        assert len(outcome.output) < BRIEF.output + 100
        assert (await ran(box, "x")).value == "1"


async def test_an_interrupt_ends_the_code_and_not_the_session() -> None:
    async with space() as box:
        await ran(box, "x = 1")
        step = asyncio.create_task(ran(box, "x = 2\nwhile True: pass"))
        while box._running is None:
            await asyncio.sleep(0)
        box.interrupt()
        assert "it was interrupted" in (await step).error
        assert (await ran(box, "x")).value == "1"


@pytest.mark.parametrize(
    "code",
    [
        "open('{file}').read()",
        "import os\nos.listdir('/')",
        "import os\nos.environ['HOME']",
        "import socket",
        "import subprocess",
        "import ctypes",
        "import os\nos.system('id')",
        "__import__('os').system('id')",
        "().__class__.__base__.__subclasses__()",
        "from pathlib import Path\nPath('{file}').read_text()",
    ],
)
async def test_nothing_of_the_machine_is_there(tmp_path: Path, code: str) -> None:
    secret = tmp_path / "agent.toml"
    secret.write_text("SECRET-1234")
    async with space() as box:
        outcome = await ran(box, code.replace("{file}", str(secret)))
        assert outcome.error
        assert "SECRET" not in repr(outcome)


async def test_it_is_taken_where_bubblewrap_is_missing_and_says_what_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("atoll.adapters.sandbox.bubblewrap.shutil.which", lambda *_, **__: None)
    engine = await choosing.open_engine(Sandbox())
    assert engine.name == "pydantic-monty"
    assert any("interpreter" in sentence for sentence in engine.unenforced)
    await engine.close()


async def test_without_either_both_ways_to_mend_it_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("atoll.adapters.sandbox.bubblewrap.shutil.which", lambda *_, **__: None)
    monkeypatch.setattr(choosing, "find_spec", lambda _: None)
    with pytest.raises(
        AgentError, match=r"apt install bubblewrap; or pip install 'atoll\[monty\]'"
    ):
        await choosing.open_engine(Sandbox())
