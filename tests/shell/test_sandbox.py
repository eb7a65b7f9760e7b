"""A namespace in a real sandbox: what lasts, what ends, and what the code is told."""

import asyncio
import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from atoll.adapters.sandbox.bubblewrap import find_setup
from atoll.adapters.sandbox.choosing import LEAST_MEMORY, open_engine
from atoll.adapters.sandbox.process import start_worker
from atoll.adapters.sandbox.space import Space
from atoll.adapters.sandbox.tree import descendants
from atoll.config.manifest import Sandbox
from atoll.errors import AgentError
from atoll.ports import CodeOutcome
from tests.fakes.sandbox import SMALL, EchoHost, engine, needs_sandbox, space

pytestmark = [pytest.mark.anyio, needs_sandbox]

BRIEF = msgspec.structs.replace(SMALL, seconds=1.0)


async def ran(box: Space, code: str) -> CodeOutcome:
    async with asyncio.timeout(30):
        return await box.run(code, EchoHost())


async def test_variables_functions_and_imports_last_from_step_to_step() -> None:
    async with space() as box:
        await ran(box, "import math\ndef area(r): return math.pi * r ** 2\nx = 2")
        assert (await ran(box, "round(area(x), 2)")).value == "12.57"


async def test_two_namespaces_know_nothing_of_each_other() -> None:
    async with engine() as made:
        one, other = await made.open(), await made.open()
        await ran(one, "open('/tmp/x', 'w').write('mine'); x = 1")
        assert "NameError" in (await ran(other, "x")).error
        assert "FileNotFoundError" in (await ran(other, "open('/tmp/x')")).error
        await one.close()
        await other.close()


async def test_output_comes_in_order_whoever_writes_it() -> None:
    async with space() as box:
        code = "import os, sys\nprint('a'); os.system('echo b'); print('c', file=sys.stderr); 'd'"
        outcome = await ran(box, code)
        assert (outcome.output, outcome.value) == ("a\nb\nc\n", "'d'")
        assert (await ran(box, "print('next')")).output == "next\n"


async def test_output_over_the_limit_is_cut_with_a_marker_and_the_code_goes_on() -> None:
    async with space() as box:
        outcome = await ran(box, "for i in range(1000): print('x' * 999)\n'done'")
        assert outcome.value == "'done'"
        assert outcome.output.endswith("[cut: 900000 bytes more]")
        assert len(outcome.output) < SMALL.output + 100


async def test_a_closed_or_replaced_output_is_mended_for_the_next_step() -> None:
    async with space() as box:
        await ran(box, "import sys; sys.stdout.close(); sys.stdout = None; SUBMIT = None")
        assert (await ran(box, "print('here')")).output == "here\n"
        assert (await ran(box, "SUBMIT(1)")).submitted == "1"


async def test_a_traceback_shows_the_codes_own_lines_and_nothing_of_ours() -> None:
    async with space() as box:
        await ran(box, "def f():\n    return 1 / 0")
        error = (await ran(box, "f()")).error
        assert 'File "<step 2>", line 1' in error
        assert 'File "<step 1>", line 2, in f\n    return 1 / 0' in error
        assert "worker.py" not in error
        assert (await ran(box, "def")).error.startswith('  File "<step 3>", line 1')


@pytest.mark.parametrize(
    ("code", "answer"),
    [("SUBMIT('Bücher')", "Bücher"), ("SUBMIT([1, None])", "[1, null]"), ("SUBMIT({1})", '"{1}"')],
)
async def test_submit_ends_the_step_with_the_answer(code: str, answer: str) -> None:
    async with space() as box:
        code = f"try:\n    {code}\nexcept Exception: pass\nprint('not reached')"
        outcome = await ran(box, code)
        assert (outcome.submitted, outcome.output) == (answer, "")


async def test_code_asks_the_model_once_and_in_batches() -> None:
    async with space() as box:
        host = EchoHost()
        outcome = await box.run("[llm_query('a'), *llm_query_batched(['b', 'c'])]", host)
        assert outcome.value == "['A', 'B', 'C']"
        assert host.asked == ["a", "b", "c"]
        assert (await box.run("llm_query_batched([])", host)).value == "[]"


async def test_over_the_budget_the_code_is_told_and_may_go_on() -> None:
    async with space() as box:
        code = (
            "try: llm_query_batched(['a', 'b'])\nexcept RuntimeError as e: print(e)\nllm_query('c')"
        )
        outcome = await box.run(code, EchoHost(calls=1))
        assert (outcome.output, outcome.value) == ("no calls are left\n", "'C'")


async def test_threads_of_the_code_may_ask_at_once() -> None:
    async with space() as box:
        code = (
            "from concurrent.futures import ThreadPoolExecutor\n"
            "list(ThreadPoolExecutor(8).map(llm_query, 'abcdefgh'))"
        )
        assert (await ran(box, code)).value == str(list("ABCDEFGH"))


def state_of(pid: int) -> str:
    """The kernel's letter for it; T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


class Slow(EchoHost):
    """A model that never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = asyncio.Event()

    async def ask(self, prompts):
        self.waiting.set()
        await asyncio.Event().wait()


async def test_an_interrupt_keeps_the_variables() -> None:
    async with space() as box:
        await ran(box, "x = 41")
        host = Slow()
        step = asyncio.create_task(box.run("x += 1\nllm_query('?')\nx = 0", host))
        await host.waiting.wait()
        box.interrupt()
        outcome = await step
        assert "KeyboardInterrupt" in outcome.error
        assert not outcome.lost
        assert (await ran(box, "x")).value == "42"


async def test_a_caller_who_is_cancelled_leaves_a_usable_namespace() -> None:
    async with space() as box:
        host = Slow()
        step = asyncio.create_task(box.run("x = 7\nllm_query('?')", host))
        await host.waiting.wait()
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        assert (await ran(box, "x")).value == "7"


async def test_the_time_limit_keeps_the_variables_and_is_told() -> None:
    async with space(BRIEF) as box:
        await ran(box, "x = 1")
        outcome = await ran(box, "while True: x = 2")
        assert "it took over 1 s; the variables are kept" in outcome.error
        assert (await ran(box, "x")).value == "2"


async def test_code_that_is_deaf_to_the_interrupt_is_ended_and_a_new_worker_begins() -> None:
    async with space(BRIEF) as box:
        code = "import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: pass"
        outcome = await ran(box, code)
        assert outcome.lost
        assert "did not heed the interrupt" in outcome.error
        assert "NameError" in (await ran(box, "signal")).error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os._exit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    ],
)
async def test_a_worker_that_dies_is_told_as_such(code: str, words: str) -> None:
    async with space() as box:
        outcome = await ran(box, code)
        assert outcome.lost
        assert words in outcome.error


async def test_nothing_runs_between_two_steps() -> None:
    """A thread stands still, a process is gone."""
    async with space() as box:
        code = (
            "import os, threading, time\nn = 0\n"
            "def count():\n    global n\n    while True: n += 1\n"
            "threading.Thread(target=count, daemon=True).start()\n"
            "if os.fork() == 0: time.sleep(600)\n"
        )
        await ran(box, code)
        worker = box._worker
        assert worker is not None
        assert len(descendants(worker._process.pid)) <= 3  # the first process, the worker, a zombie
        async with asyncio.timeout(10):
            while state_of(worker.pid) != "T":
                await asyncio.sleep(0.005)


async def test_a_fork_that_comes_to_its_end_does_not_answer_in_the_workers_place() -> None:
    async with space() as box:
        outcome = await ran(box, "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\npid > 0")
        assert outcome.value == "True"
        assert (await ran(box, "1 + 1")).value == "2"


async def test_pieces_that_are_sent_at_once_run_one_after_the_other() -> None:
    async with space() as box:
        await ran(box, "seen = []")
        steps = [box.run(f"seen.append({n}); len(seen)", EchoHost()) for n in range(5)]
        outcomes = await asyncio.gather(*steps)
        assert [outcome.value for outcome in outcomes] == ["1", "2", "3", "4", "5"]


async def test_a_piece_that_is_cancelled_before_its_turn_never_runs() -> None:
    """And the one after it still waits for the one that runs."""
    async with space() as box:
        host = Slow()
        running = asyncio.create_task(box.run("seen = [1]\nllm_query('?')", host))
        await host.waiting.wait()
        dropped = asyncio.create_task(box.run("seen.append(2)", EchoHost()))
        await asyncio.sleep(0)
        dropped.cancel()
        await asyncio.wait({dropped})
        last = asyncio.create_task(box.run("seen.append(3); seen", EchoHost()))
        await asyncio.sleep(0.05)
        assert not last.done()
        box.interrupt()
        assert "KeyboardInterrupt" in (await running).error
        assert (await last).value == "[1, 3]"


async def test_closing_ends_every_process_while_code_runs() -> None:
    async with engine() as made:
        box = await made.open()
        host = Slow()
        step = asyncio.create_task(box.run("llm_query('?')", host))
        await host.waiting.wait()
        worker = box._worker
        assert worker is not None
        await box.close()
        assert (await step).lost
        assert worker._process.returncode is not None
        assert (await ran(box, "1")).error == "the sandbox was closed"


async def test_pages_that_processes_share_count_once() -> None:
    async with space() as box:
        code = (
            "import os, time\na = bytearray(100_000_000); a[::4096] = b'x' * len(a[::4096])\n"
            "for _ in range(6):\n    if os.fork() == 0: time.sleep(600)\n"
            "time.sleep(0.5)\nlen(a)"
        )
        assert (await ran(box, code)).value == "100000000"


async def test_all_processes_together_may_not_hold_more_than_the_limit() -> None:
    async with space() as box:
        code = (
            "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n"
            "        a = bytearray(60_000_000); a[::4096] = b'x' * len(a[::4096])\n"
            "        time.sleep(600)\n"
            "time.sleep(600)"
        )
        outcome = await ran(box, code)
        assert outcome.lost
        assert "it held over 300 MB of memory" in outcome.error


async def test_files_in_memory_count_as_memory_however_empty_they_are() -> None:
    limits = msgspec.structs.replace(SMALL, memory=100_000_000, disk=200_000_000)
    async with space(limits) as box:
        outcome = await ran(box, "f = open('/tmp/f', 'wb')\nwhile True: f.write(b'x' * 10**6)")
        assert "it held over 100 MB of memory" in outcome.error
        code = (
            "import os, itertools\nfor n in itertools.count(): os.close(os.open(f'/tmp/{n}', 64))"
        )
        outcome = await ran(box, code)
        assert "it held over 100 MB of memory" in outcome.error


async def test_the_least_that_can_be_set_is_enough_for_a_python() -> None:
    limits = msgspec.structs.replace(SMALL, memory=LEAST_MEMORY, processes=1, disk=1, output=1)
    async with space(limits) as box:
        assert (await ran(box, "import json, decimal\n6")).value == "6"
        code = "import os\ntry: os.fork()\nexcept OSError: x = 1\nx"
        assert (await ran(box, code)).value == "1"


async def test_too_little_memory_is_told_before_a_python_fails_of_it() -> None:
    with pytest.raises(AgentError, match="memory_limit is too little for a Python"):
        await open_engine(Sandbox(memory_limit="10MB"))


def test_a_missing_bubblewrap_is_told_with_what_mends_it() -> None:
    with pytest.raises(AgentError, match="apt install bubblewrap"):
        find_setup(SMALL, path="/nowhere")


def test_an_old_bubblewrap_is_told_with_what_it_lacks(tmp_path) -> None:
    old = tmp_path / "bwrap"
    old.write_text("#!/bin/sh\necho usage: bwrap --size\n")
    old.chmod(0o755)
    with pytest.raises(AgentError, match=r"lacks --disable-userns: install bubblewrap 0\.8"):
        find_setup(SMALL, path=str(tmp_path))


async def test_a_sandbox_that_cannot_be_made_is_told_in_bubblewraps_words() -> None:
    setup = find_setup(SMALL)
    python = msgspec.structs.replace(setup.python, program="/nowhere/python3")
    with pytest.raises(AgentError, match=r"the sandbox does not start: bwrap: .*nowhere"):
        await start_worker(msgspec.structs.replace(setup, python=python))


@pytest.mark.parametrize(
    "code", ["SUBMIT('\\ud800')", "raise ValueError('\\ud800')", "llm_query('\\ud800')"]
)
async def test_half_a_character_is_no_reason_to_lose_the_namespace(code: str) -> None:
    async with space() as box:
        outcome = await ran(box, code)
        assert not outcome.lost
        assert "?" in outcome.error + outcome.value + (outcome.submitted or "")


PROGRAM = """
import asyncio
from tests.fakes.sandbox import EchoHost, space
async def main():
    async with space() as box:
        await box.run("x = 1", EchoHost())
        print(box._worker.pid, flush=True)
        await box.run("while True: pass", EchoHost())
asyncio.run(main())
"""


def test_a_sandbox_ends_with_its_agent_however_that_ends() -> None:
    agent = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    assert agent.stdout is not None
    with agent.stdout:
        worker = os.pidfd_open(int(agent.stdout.readline()))
    agent.kill()
    agent.wait()
    try:
        assert select.select([worker], [], [], 20)[0], "the worker outlived its agent"
    finally:
        os.close(worker)


def those_with(word: str) -> list[int]:
    """The processes whose command line has the word."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if word.encode() in place.read_bytes():
                found.append(int(place.parent.name))
    return found


async def test_a_start_that_is_broken_off_at_any_moment_leaves_no_process() -> None:
    """In its first milliseconds bubblewrap's child does not end with bubblewrap."""
    output = 100_000 + int.from_bytes(os.urandom(3))
    setup = find_setup(msgspec.structs.replace(SMALL, output=output))
    for moment in range(40):
        starting = asyncio.create_task(start_worker(setup))
        await asyncio.sleep(moment / 2000)
        starting.cancel()
        await asyncio.wait({starting})
        if not starting.cancelled():
            await starting.result().close()
    async with asyncio.timeout(10):
        while those_with(f" {output}".replace(" ", "\0")):
            await asyncio.sleep(0.01)
