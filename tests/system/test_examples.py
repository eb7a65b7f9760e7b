"""The example fleet as it is shipped, on a model whose words are known: each agent does its work.

The model is an ATOLL agent with a script. The fleet finds it as it would find an Ollama.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.arch.tree import AGENTS
from tests.fakes.daemon import PLAIN, Daemon, eventually, free_ports, running
from tests.fakes.sandbox import needs_sandbox

MODEL = """
[agent]
name = "Model"

[llm]
provider = "scripted"
script = "script.toml"
"""
SCRIPT = """
capabilities = ["completion", "tools"]

[[turn]]
system = "You are a helpful assistant"
chunks = ['{"result": "Hello to you."}']

[[turn]]
system = "You report facts"
[[turn.call]]
name = "memory"

[[turn]]
system = "You report facts"
text = "That is what there is."

[[turn]]
system = "You lead a team"
[[turn.call]]
name = "machine"
arguments = { task = "How much memory is there?" }
[[turn.call]]
name = "librarian"
arguments = { task = "What happens when an agent crashes?" }

[[turn]]
system = "You lead a team"
text = "The machine has enough, says machine; crashes are mended, says librarian."

[[turn]]
system = "a library of texts"
[[turn.call]]
name = "search"
arguments = { query = "agent crashes", limit = 1 }

[[turn]]
system = "a library of texts"
text = "It is started again at once [crashes.md, passage 1]."

[[turn]]
system = "writing Python"
[[turn.call]]
name = "execute_code"
[turn.call.arguments]
code = '''
primes = [n for n in range(2, 1000) if all(n % d for d in range(2, n))]
sum(prime)
'''

[[turn]]
system = "writing Python"
[[turn.call]]
name = "execute_code"
arguments = { code = "SUBMIT(sum(primes))" }
"""


class Fleet(Daemon):
    """A daemon that finds an Ollama at `model`."""

    model = ""

    @property
    def environment(self) -> dict[str, str]:
        found = {**super().environment, "ATOLL_OLLAMA_URL": self.model}
        del found["ATOLL_DEFAULT_LLM"]
        return found

    def events(self, slug: str, question: str) -> list[tuple[str, dict[str, object]]]:
        """What an agent does for a question: the kinds of its events and what they hold."""
        port, asked = self.row(slug)["port"], {"message": question}
        url = f"http://127.0.0.1:{port}/stream"
        told = httpx.get(url, params=asked, timeout=60, verify=PLAIN).text
        lines = [line.removeprefix("data: ") for line in told.splitlines() if line]
        return [(event["type"], event["data"]) for event in map(json.loads, lines)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the scripted model."""
    folder, port = tmp_path_factory.mktemp("model"), free_ports(1)
    (folder / "agent.toml").write_text(MODEL)
    (folder / "script.toml").write_text(SCRIPT)
    served = ["--server", "--agent", str(folder / "agent.toml"), "--port", str(port)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "atoll", *served], env=environment, stdout=log, stderr=log
        )
    try:
        eventually(lambda: b"serves http" in (folder / "log").read_bytes(), why="no model")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def fleet(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    shutil.copytree(AGENTS, folder / "agents", ignore=shutil.ignore_patterns("__pycache__"))
    fleet = Fleet(folder)
    fleet.model = model
    with running(fleet):
        yield fleet


def results(events: list[tuple[str, dict[str, object]]]) -> list[tuple[str, str]]:
    return [
        (str(data["tool_name"]), str(data["tool_result"]))
        for kind, data in events
        if kind == "tool_result"
    ]


def test_the_assistant_takes_and_gives_what_its_manifest_says(fleet: Fleet) -> None:
    def asked(**inputs: object) -> dict[str, object]:
        body = {"agent_name": "assistant", "inputs": inputs}
        return httpx.post(f"{fleet.url}/run/agent", json=body, timeout=60, verify=PLAIN).json()

    done = asked(query="Hello, world!")
    assert (done["status"], done["result"]) == ("completed", {"result": "Hello to you."})
    assert "input `query` (str) is missing" in str(asked(question="Hello?")["error"])


def test_the_machine_tells_a_fact_that_its_tool_has_looked_at(fleet: Fleet) -> None:
    events = fleet.events("machine", "How much memory is there?")
    ((tool, told),) = results(events)
    assert tool == "memory"
    assert f"memory: {psutil.virtual_memory().total / 2**30:.1f} GiB in all" in told
    assert events[-1][1]["answer"] == "That is what there is."


def test_the_librarian_searches_and_cites_the_passage(fleet: Fleet) -> None:
    events = fleet.events("librarian", "What happens when an agent crashes?")
    ((tool, told),) = results(events)
    assert tool == "search"
    assert told.startswith("[crashes.md, passage 1]\n# What happens when an agent crashes")
    assert "[crashes.md, passage 1]" in str(events[-1][1]["answer"])


def test_the_coordinator_has_its_children_do_the_work_and_shows_it(fleet: Fleet) -> None:
    events = fleet.events("coordinator", "Tell me of the memory and of crashes.")
    done = [(data.get("path"), data["tool_name"]) for kind, data in events if kind == "tool_result"]
    assert done[-2:] == [(None, "machine"), (None, "librarian")]
    assert sorted(done[:2], key=str) == [
        (["coordinator", "librarian"], "search"),
        (["coordinator", "machine"], "memory"),
    ]
    assert "says librarian" in str(events[-1][1]["answer"])


def test_atoll_run_shows_the_delegation_as_it_happens(fleet: Fleet) -> None:
    said = fleet.run("run", "coordinator", "Tell me of the memory and of crashes.")
    lines = said.stderr.splitlines()
    assert said.stdout.startswith("The machine has enough")
    assert lines[0] == "[calls machine: How much memory is there?]"
    assert "  machine [calls memory]" in lines
    assert any(line.startswith("  librarian [search: [crashes.md, passage 1]") for line in lines)


@needs_sandbox
def test_the_coder_sees_its_mistake_and_submits_what_the_code_found(fleet: Fleet) -> None:
    """The second code uses a variable of the first, which failed at its end."""
    events = fleet.events("coder", "What is the sum of all primes below 1000?")
    (first, *_) = results(events)
    assert first[0] == "execute_code"
    assert "NameError" in first[1]
    assert events[-1][1]["answer"] == str(76_127)
