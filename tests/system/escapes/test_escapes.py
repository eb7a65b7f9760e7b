"""Over a hundred ways out of the sandbox: each is blocked, and the agent and its tool live on."""

import os
import platform
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from atoll.ports import CodeOutcome
from tests.fakes.sandbox import SMALL, EchoHost, needs_sandbox, space
from tests.system.escapes.attempts import ATTEMPTS, CALL, HELD, LOST, NOTHING, OS, Attempt

pytestmark = [pytest.mark.anyio, needs_sandbox]

BRIEF = msgspec.structs.replace(SMALL, seconds=1.5)
"""Limits under which even a loop is over soon."""
FALSE = ("", "False", "0", "[]", "b''", "''", "set()", "None")


class Agent:
    """What a sandbox must not reach: a file, an environment, sockets, a descriptor of an agent."""

    def __init__(self, folder: Path) -> None:
        self.secret = f"SECRET-{secrets.token_hex(8)}"
        self.file = folder / "agent.toml"
        self.file.write_text(self.secret)
        self.file.chmod(0o644)
        self.descriptor = os.open(self.file, os.O_RDONLY)
        os.set_inheritable(self.descriptor, True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.abstract = secrets.token_hex(8)
        self.local = socket.socket(socket.AF_UNIX)
        self.local.bind(f"\0{self.abstract}")
        self.local.listen()

    def close(self) -> None:
        os.close(self.descriptor)
        self.server.close()
        self.local.close()

    def aimed(self, code: str) -> str:
        """The code with what it is after filled in."""
        targets = {
            "{file}": str(self.file),
            "{folder}": str(self.file.parent),
            "{port}": str(self.server.getsockname()[1]),
            "{pid}": str(os.getpid()),
            "{fd}": str(self.descriptor),
            "{abstract}": self.abstract,
        }
        for name, value in targets.items():
            code = code.replace(name, value)
        return code


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    made = Agent(tmp_path)
    monkeypatch.setenv("OPENROUTER_API_KEY", made.secret)
    monkeypatch.setenv("ATOLL_AGENT_TOKEN", made.secret)
    yield made
    made.close()


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
async def test_there_is_no_way_out(agent: Agent, attempt: Attempt) -> None:
    """It is stopped by what the table names, tells no secret, and the next code runs."""
    if CALL in attempt.code and platform.machine() != "x86_64":
        pytest.skip("the table has system calls by their numbers on x86-64")
    async with space(BRIEF) as box:
        outcome = await box.run(agent.aimed(attempt.code), EchoHost())
        assert stopped(outcome, attempt.by), outcome
        assert agent.secret not in repr(outcome)
        after = await box.run("40 + 2", EchoHost())
        assert after.value == "42", after


def stopped(outcome: CodeOutcome, by: str) -> bool:
    return any(_stopped(outcome, way) for way in by.split("|"))


def _stopped(outcome: CodeOutcome, way: str) -> bool:
    match way:
        case "nothing":
            return not outcome.error and outcome.value in FALSE
        case "lost":
            return outcome.lost
        case "held":
            return bool(outcome.lost or outcome.error or "[cut" in outcome.output + outcome.value)
        case "OSError":
            return _raised(outcome, OSError)
        case _:
            return not outcome.lost and bool(re.search(rf"^{way}\b", outcome.error, re.MULTILINE))


def _raised(outcome: CodeOutcome, kind: type[BaseException]) -> bool:
    """Whether the last line of the traceback names the kind or a subclass of it."""
    names = re.findall(r"^([\w.]+)(?=:|$)", outcome.error, re.MULTILINE)
    named = names[-1].rsplit(".", 1)[-1] if names else ""
    known = {kind.__name__, "gaierror", "URLError"} | {
        sub.__name__ for sub in kind.__subclasses__()
    }
    return not outcome.lost and named in known


def test_there_are_at_least_a_hundred_attempts_each_of_its_own_name() -> None:
    names = [attempt.name for attempt in ATTEMPTS]
    assert len(names) >= 100
    assert len(set(names)) == len(names)
    assert {attempt.by for attempt in ATTEMPTS} >= {OS, NOTHING, LOST, HELD}


def test_the_same_attempts_reach_their_aim_outside(agent: Agent) -> None:
    """The table aims at something: without a sandbox a file, a port and a process are there."""
    names = {"read {file}", "the agent's port", "signal the agent", "read /proc/{pid}/environ"}
    for attempt in ATTEMPTS:
        if attempt.name in names:
            code = agent.aimed(attempt.code)
            ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True)
            assert ran.returncode == 0, (attempt.name, ran.stderr)
            names.discard(attempt.name)
    assert names == set()
