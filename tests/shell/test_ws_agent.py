"""`WS /ws/chat` of a real agent process over a real model's server."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.fakes.talker import LIMIT, talking_to
from tests.fakes.upstream import HANG, Upstream, ollama_line, streamed, upstream_in_thread, whole
from tests.shell.test_server import address, process

MANIFEST = (
    '[agent]\nname = "Speaker"\n[llm]\nprovider = "ollama"\nmodel = "tiny"\nbase_url = "%s"\n'
)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A model that says a word and then nothing more."""
    with upstream_in_thread() as upstream:
        upstream.on("/api/show", whole({"capabilities": ["completion"], "model_info": {}}))
        upstream.on("/api/chat", streamed([ollama_line("Once"), HANG]))
        yield upstream


@pytest.fixture
def manifest(tmp_path: Path, upstream: Upstream) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(MANIFEST % upstream.url)
    return path


def test_a_cancel_ends_the_generation_at_the_models_server(
    manifest: Path, upstream: Upstream
) -> None:
    with (
        process(manifest.parent, "--port", "0", "--agent", str(manifest)) as child,
        talking_to(address(child)) as talker,
    ):
        talker.say("go")
        talker.until("assistant_token")
        talker.send(type="cancel")
        assert talker.until("cancelled")[-1]["text"] == "Once\n\n[cancelled]"
        (asked,) = [request for request in upstream.requests if request.path == "/api/chat"]
        assert asked.abandoned.wait(LIMIT)


def test_a_stop_tells_whoever_is_connected_and_ends(manifest: Path) -> None:
    with process(manifest.parent, "--port", "0", "--agent", str(manifest)) as child:
        url = address(child)
        with talking_to(url) as idle, talking_to(url) as busy:
            busy.say("go")
            busy.until("assistant_token")
            child.send_signal(signal.SIGTERM)
            assert idle.closed() == 1012
            child.send_signal(signal.SIGTERM)  # does not wait for the turn
            assert busy.frame()["code"] == "stopping"
            assert busy.closed() == 1012
        assert child.wait(LIMIT) == 0
        assert child.stderr
        assert "Traceback" not in child.stderr.read()


def test_an_agent_with_a_token_takes_it_from_the_header_alone(manifest: Path) -> None:
    token = {"ATOLL_AGENT_TOKEN": "sesame"}
    with process(manifest.parent, "--port", "0", "--agent", str(manifest), **token) as child:
        url = address(child)
        with pytest.raises(InvalidStatus), talking_to(f"{url}/ws/chat?token=sesame&x="):
            pass
        shown = {"Authorization": "Bearer sesame"}
        with talking_to(url, additional_headers=shown) as talker:
            assert talker.command("reset")["status"] == "ok"
