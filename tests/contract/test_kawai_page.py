"""The client examples of Kawai's page, with only host and port changed, against an agent."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.ports import CallsDelta, Done, ThinkingDelta
from atoll.wire.messages import Call
from tests.fakes.asking import THINKER
from tests.fakes.ports import USAGE, FakeModel, FakeTools, text
from tests.fakes.serving import Served, serving

PAGE = "http://localhost:8000"
ROOT = Path(__file__).parents[2]
LIMIT = 30

CHAT = """
import requests

response = requests.post(
    "http://localhost:8000/chat",
    json={"message": "What is machine learning?"}
)
result = response.json()
print(result["answer"])
"""

STREAM = """
import requests
import json

response = requests.get(
    "http://localhost:8000/stream",
    params={"message": "Search for AI news"},
    stream=True
)

for line in response.iter_lines():
    if line:
        data = line.decode().removeprefix("data: ")
        event = json.loads(data)
        print(f"{event['type']}: {event['data']}")
"""

SESSION = """
import requests

SESSION_ID = "user-123"

# First message
r1 = requests.post(
    "http://localhost:8000/chat",
    json={"message": "What is Python?", "session_id": SESSION_ID}
)
print(r1.json()["answer"])

# Follow-up (agent remembers context)
r2 = requests.post(
    "http://localhost:8000/chat",
    json={"message": "What are its main features?", "session_id": SESSION_ID}
)
print(r2.json()["answer"])
"""

CURL_CHAT = r"""
curl -X POST http://localhost:8000/chat \
     -H "Content-Type: application/json" \
     -d '{"message": "What is machine learning?"}'
"""

CURL_STREAM = 'curl -N "http://localhost:8000/stream?message=Search%20for%20AI%20news"'

CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="wants the package curl")


@pytest.fixture
def searching(tmp_path: Path) -> Iterator[tuple[Served, FakeModel]]:
    """An agent that looks something up before it answers."""
    looked = [CallsDelta((Call("c1", "search", {"q": "AI"}),)), Done("stop", USAGE)]
    model = FakeModel(
        [ThinkingDelta("I look it up"), *looked],
        text("It is ", "new."),
        text("More."),
        info=THINKER,
    )
    with serving(model, tmp_path, tools=FakeTools(search='["news"]')) as served:
        yield served, model


def ran(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python(example: str, served: Served) -> str:
    return ran([sys.executable, "-c", example.replace(PAGE, served.url)])


def shell(example: str, served: Served) -> str:
    return ran(["bash", "-c", example.replace(PAGE, served.url).replace("curl ", "curl -sS ", 1)])


def test_the_python_example_of_chat_prints_the_answer(
    searching: tuple[Served, FakeModel],
) -> None:
    assert python(CHAT, searching[0]) == "It is new.\n"


def test_the_python_example_of_a_stream_prints_every_event_and_ends(
    searching: tuple[Served, FakeModel],
) -> None:
    lines = python(STREAM, searching[0]).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "run_start",
        "step_start",
        "reasoning",
        "tool_call",
        "tool_result",
        "step_start",
        "run_end",
    ]
    assert "'answer': 'It is new.'" in lines[-1]


def test_the_example_of_a_session_remembers(searching: tuple[Served, FakeModel]) -> None:
    served, model = searching
    assert python(SESSION, served) == "It is new.\nMore.\n"
    told = [message.content for message in model.requests[-1].messages]
    assert told[-3:] == ["What is Python?", "It is new.", "What are its main features?"]


@CURL
def test_the_curl_example_of_chat_has_the_fields_of_the_page(
    searching: tuple[Served, FakeModel],
) -> None:
    said = json.loads(shell(CURL_CHAT, searching[0]))
    page = {"answer", "session_id", "steps", "completed", "plan"}
    assert said.keys() >= page
    assert (said["answer"], said["steps"], said["completed"]) == ("It is new.", 2, True)


@CURL
def test_the_curl_example_of_a_stream_ends(searching: tuple[Served, FakeModel]) -> None:
    told = shell(CURL_STREAM, searching[0])
    assert told.count('data: {"type":"run_start"') == 1
    assert told.rstrip().splitlines()[-1].startswith('data: {"type":"run_end"')


@CURL
def test_the_commands_of_our_own_page_work(searching: tuple[Served, FakeModel]) -> None:
    page = (ROOT / "docs" / "dialects.md").read_text().partition("## `/chat`")[2]
    commands = [line.strip() for line in page.splitlines() if line.startswith("    curl ")]
    assert len(commands) == 2
    for command in commands:
        said = shell(command.replace("http://127.0.0.1:8100", PAGE), searching[0])
        assert '"answer":"' in said, command
