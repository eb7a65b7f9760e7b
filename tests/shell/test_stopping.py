"""When the drain's time is over, whoever still waits is told so, in the words of its dialect."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from atoll.ports import Chunk, ModelRequest, TextDelta
from tests.fakes.asking import raw_request, wait_for
from tests.fakes.ports import FakeModel
from tests.fakes.serving import EndlessModel, Served, read_all, serving

PATHS = ["/api/generate", "/api/chat", "/v1/chat/completions"]
REASON = "the agent is stopping"


class SilentModel(FakeModel):
    """Takes a request and never says a word."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        await asyncio.Event().wait()
        yield TextDelta("never")


def told(served: Served, model: FakeModel, path: str, *, stream: bool, begun: bool) -> bytes:
    """All that a client reads whose server stops in the middle of its turn."""
    hi = [{"role": "user", "content": "hi"}]
    body = {"model": "llama2", "prompt": "hi", "messages": hi, "stream": stream}
    with served.connect() as sock:
        sock.sendall(raw_request("POST", path, json.dumps(body).encode()))
        first = sock.recv(65536) if begun else b""
        wait_for(lambda: bool(model.requests))
        served.leave()
        served.leave()
        return first + read_all(sock)


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_ends_with_the_dialects_error_and_is_whole(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served:
        answer = told(served, model, path, stream=True, begun=True)
        assert model.stopped.wait(5)
    assert answer.startswith(b"HTTP/1.1 200")
    assert REASON in answer.decode().rsplit("tick", 1)[1]
    assert answer.endswith(b"0\r\n\r\n")
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", PATHS)
def test_before_the_first_word_it_is_503(
    tmp_path: Path, path: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    model = SilentModel()
    with serving(model, tmp_path) as served:
        answer = told(served, model, path, stream=stream, begun=False)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    said = json.loads(body)["error"]
    assert (said if isinstance(said, str) else said["message"]) == REASON
    assert caplog.text == ""
