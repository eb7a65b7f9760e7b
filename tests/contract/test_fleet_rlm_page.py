"""What fleet-rlm's page shows, with only host and port changed, against an agent.

Its command line is fleet-rlm's own and no client; what the page writes as JSON is
what is sent and expected here. The page has no address for its examples but the
one of `/scalar`.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from atoll.errors import UpstreamRefused
from atoll.ports import CallsDelta, Done, ThinkingDelta
from atoll.wire.messages import Call
from tests.fakes.asking import THINKER
from tests.fakes.ports import USAGE, FakeModel, FakeTools, text
from tests.fakes.serving import Served, serving
from tests.fakes.talker import talking

PAGE = "http://localhost:8000"
ROOT = Path(__file__).parents[2]
LIMIT = 30

REQUEST = """
{
  "message": "Calculate pi to 10 digits",
  "session_id": "optional-session-id"
}
"""
RESPONSE = {"response": "The value of pi is 3.1415926535", "trajectory": [...]}
SEQUENCE = {"message": "analyze data.csv"}


@pytest.fixture
def calculating(tmp_path: Path) -> Iterator[tuple[Served, FakeModel]]:
    """An agent that runs code before it answers."""
    code = Call("c1", "execute_code", {"code": "print(pi)"})
    model = FakeModel(
        [ThinkingDelta("I compute it"), CallsDelta((code,)), Done("stop", USAGE)],
        text("The value of pi ", "is 3.1415926535"),
        text("More."),
        info=THINKER,
    )
    tools = FakeTools(execute_code="3.1415926535")
    with serving(model, tmp_path, tools=tools) as served:
        yield served, model


def test_the_request_of_post_chat_has_the_response_of_the_page(
    calculating: tuple[Served, FakeModel],
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{calculating[0].url}/chat", content=REQUEST, headers=headers)
    said = answer.json()
    assert (answer.status_code, said["response"]) == (200, RESPONSE["response"])
    (step,) = said["trajectory"]
    assert (step["tool_name"], step["thought"]) == ("execute_code", "I compute it")
    assert said.keys() >= {"assistant_response", "trajectory_flat", "history_turns"}
    assert said["session_id"] == "optional-session-id"


def test_the_request_of_the_diagram_needs_no_session(
    calculating: tuple[Served, FakeModel],
) -> None:
    """ "Stateless": each gets a session of its own."""
    served, model = calculating
    first = httpx.post(f"{served.url}/chat", json=SEQUENCE).json()
    second = httpx.post(f"{served.url}/chat", json=SEQUENCE).json()
    assert first["session_id"] != second["session_id"]
    asked = [message.content for message in model.requests[-1].messages]
    assert asked.count(SEQUENCE["message"]) == 1


def test_health_is_200_and_ready_tells_of_the_model(tmp_path: Path) -> None:
    with serving(FakeModel(), tmp_path) as served:
        health, ready = httpx.get(f"{served.url}/health"), httpx.get(f"{served.url}/ready")
    assert (health.status_code, health.json()["ok"]) == (200, True)
    assert "version" in health.json()
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    assert ready.json()["planner_configured"] is True


def test_ready_is_503_without_the_models_server(tmp_path: Path) -> None:
    model = FakeModel()
    model.down = UpstreamRefused("nobody listens")
    with serving(model, tmp_path) as served:
        ready = httpx.get(f"{served.url}/ready")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)


def test_the_websocket_streams_thoughts_and_tool_outputs(
    calculating: tuple[Served, FakeModel],
) -> None:
    with talking(calculating[0]) as talker:
        talker.say("Calculate pi to 10 digits")
        events = talker.until("final")
    told = {event["kind"]: event for event in events}
    assert told["reasoning_step"]["text"] == "I compute it"
    assert told["tool_result"]["payload"]["tool_output"] == "3.1415926535"
    assert told["final"]["text"] == RESPONSE["response"]


class Loaded(HTMLParser):
    """Everything that a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe", "object", "embed", "base", "form"):
            self.found.append(tag)
        self.found += [name for name, _ in attrs if name == "src" or name.startswith("on")]


def test_the_page_of_scalar_shows_every_route_and_loads_nothing(
    calculating: tuple[Served, FakeModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own, where Scalar is not installed."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    address = f"{PAGE}/scalar".replace(PAGE, calculating[0].url)
    page = httpx.get(address, headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none';")
    loaded = Loaded()
    loaded.feed(page.text)
    assert loaded.found == []
    assert "://" not in page.text.replace(calculating[0].url, "")
    for shown in ("/ws/chat", "/chat", "/stream", "/api/chat", "/v1/messages", "GhidraAgent"):
        assert shown in page.text


CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="wants the package curl")


def section() -> str:
    """What our own page says of this dialect, to its end."""
    return (ROOT / "docs" / "dialects.md").read_text().split("## `/ws/chat`")[1]


@CURL
def test_the_commands_of_our_own_page_work(calculating: tuple[Served, FakeModel]) -> None:
    commands = [line.strip() for line in section().splitlines() if line.startswith("curl ")]
    assert commands
    for command in commands:
        line = command.replace("http://127.0.0.1:8100", calculating[0].url)
        done = subprocess.run(
            ["bash", "-c", line.replace("curl ", "curl -sSf ", 1)],
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_the_example_of_our_own_page_works(calculating: tuple[Served, FakeModel]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", section(), re.DOTALL)
    example = example.replace("127.0.0.1:8100", f"127.0.0.1:{calculating[0].port}")
    done = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, timeout=LIMIT
    )
    assert done.stdout == "The value of pi is 3.1415926535\n", done.stderr


def test_the_frames_of_our_own_page_are_taken(calculating: tuple[Served, FakeModel]) -> None:
    frames = [line.strip() for line in section().splitlines() if line.startswith('    {"type"')]
    assert len(frames) == 4
    with talking(calculating[0]) as talker:
        for frame in frames:
            talker.connection.send(frame)
        told: list[str] = []
        while "command_result" not in told[-1:]:
            told.append(talker.frame()["type"])
    assert "error" not in told
