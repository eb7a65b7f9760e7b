"""What clients send by mistake or on purpose: a clear answer, and nobody else notices.

Against a real agent under a real daemon, on the agent's own port and through the gateway.
"""

import json
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from tests.fakes.daemon import Daemon, running

AGENT = Path(__file__).parents[1] / "conformance" / "agent"
LIMIT = 20
MIB = 1024 * 1024
CROWD = 1000
HI = b'[{"role":"user","content":"hi"}]'
DEEP = b'{"a":' * 1000 + b"1" + b"}" * 1000
FACES = pytest.mark.parametrize("face", ["agent", "gateway"])
PATHS = {
    "/api/chat": "error",
    "/api/generate": "error",
    "/v1/chat/completions": "message",
    "/v1/responses": "message",
    "/v1/messages": "message",
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A fleet of one agent whose model is scripted."""
    daemon = Daemon(tmp_path_factory.mktemp("fleet"))
    shutil.copytree(AGENT, daemon.agents / "conformance")
    with running(daemon):
        yield daemon


def url_of(daemon: Daemon, face: str) -> str:
    """Where the face listens."""
    return daemon.url if face == "gateway" else str(daemon.row("conformance")["url"])


def body(more: bytes = b"", messages: bytes = HI) -> bytes:
    return b'{"model":"conformance","stream":false,"messages":' + messages + more + b"}"


def sent(url: str, content: bytes, path: str = "/api/chat") -> tuple[int, str]:
    """Status and the error's text, "" for none."""
    answer = httpx.post(url + path, content=content, timeout=LIMIT)
    told = answer.json().get("error", "")
    return answer.status_code, told if isinstance(told, str) else told["message"]


@FACES
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "missing request body"),
        (b"[]", "Expected `object`"),
        (b"\x00", "malformed"),
        (body()[:-1], "truncated"),
        (body() + body(), "trailing characters"),
        (body(b',"model":"\xff\xfe"'), "not valid UTF-8"),
        (body(b',"model":"\xed\xa0\x80"'), "not valid UTF-8"),
        (body(b',"temperature":NaN'), "malformed"),
        (body(b',"temperature":Infinity'), "malformed"),
        (body(b',"surplus":' + b"[" * 1000 + b"]" * 1000), "nested too deeply"),
        (body(b',"surplus":' + DEEP), "nested too deeply"),
    ],
)
def test_what_is_no_json_is_named_in_every_dialect(
    daemon: Daemon, face: str, path: str, content: bytes, word: str
) -> None:
    status, told = sent(url_of(daemon, face), content, path)
    assert (status, word in told) == (400, True), told


@FACES
@pytest.mark.parametrize(
    ("more", "told"),
    [
        (b',"options":{"num_ctx":9223372036854775808}', "num_ctx"),
        (b',"options":{"num_predict":' + b"9" * 400 + b"}", "num_predict"),
        (b',"options":{"seed":-9223372036854775809}', "seed"),
        (b',"options":{"temperature":1e400}', "out of range"),
        (b',"format":"yaml"', "JSON Schema object"),
        (b',"format":{"type":"nonsense"}', "$.type is none of"),
        (b',"format":{"type":"object","properties":5}', "$.properties is not an object"),
        (b',"format":{"properties":{"a":{"items":7}}}', "$.properties.a.items is not a schema"),
        (b',"tools":[{"type":"function","function":{"name":"f","parameters":"x"}}]', "parameters"),
    ],
)
def test_a_value_that_cannot_be_meant_is_named_with_its_place(
    daemon: Daemon, face: str, more: bytes, told: str
) -> None:
    status, error = sent(url_of(daemon, face), body(more))
    assert (status, told in error) == (400, True), error


@FACES
@pytest.mark.parametrize("arguments", [b'"x"', b"[1]", b"7", b"true"])
def test_arguments_of_a_call_that_are_no_object_are_refused(
    daemon: Daemon, face: str, arguments: bytes
) -> None:
    call = b'[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":%b}}]}]'
    status, told = sent(url_of(daemon, face), body(messages=call % arguments))
    assert (status, "arguments" in told) == (400, True)


@FACES
def test_of_a_key_that_is_there_twice_the_last_one_counts(daemon: Daemon, face: str) -> None:
    """As in Go's encoding/json, and at the gateway as at the agent."""
    twice = b'{"model":"nope",' + body()[1:]
    assert sent(url_of(daemon, face), twice)[0] == 200
    other = body()[:-1] + b',"model":"nope"}'
    assert sent(url_of(daemon, face), other) == (404, "model 'nope' not found")


@FACES
def test_half_an_emoji_is_taken_as_the_replacement_character(daemon: Daemon, face: str) -> None:
    half = body(messages=rb'[{"role":"user","content":"cut: \ud83d"}]')
    assert sent(url_of(daemon, face), half)[0] == 200


@FACES
def test_a_line_of_8_mib_is_read_and_one_over_the_limit_is_413(daemon: Daemon, face: str) -> None:
    long = body(messages=b'[{"role":"user","content":"%b"}]' % (b"x" * 8 * MIB))
    assert sent(url_of(daemon, face), long)[0] == 200
    longer = body(messages=b'[{"role":"user","content":"%b"}]' % (b"x" * 11 * MIB))
    status, told = sent(url_of(daemon, face), longer)
    assert (status, "over the limit of 10485760 bytes" in told) == (413, True)


def connect(url: str) -> socket.socket:
    where = httpx.URL(url)
    return socket.create_connection((where.host, where.port or 80), timeout=LIMIT)


def memory(daemon: Daemon, face: str) -> float:
    """MiB of the process behind the face."""
    assert daemon.process is not None
    pid = daemon.process.pid if face == "gateway" else int(str(daemon.row("conformance")["pid"]))
    return psutil.Process(pid).memory_info().rss / MIB


@FACES
def test_a_crowd_that_connects_and_says_nothing_is_not_felt(daemon: Daemon, face: str) -> None:
    """1,000 silent connections: the others are answered at once, for at most 64 MiB."""
    url = url_of(daemon, face)
    before = memory(daemon, face)
    with ExitStack() as crowd:
        for _ in range(CROWD):
            crowd.enter_context(connect(url))
        assert sent(url, body())[0] == 200
        assert memory(daemon, face) - before < 64
    assert sent(url, body())[0] == 200


@FACES
def test_who_sends_a_byte_now_and_then_holds_up_nobody(daemon: Daemon, face: str) -> None:
    """Its request is answered in the end, or it is sent away; others do not wait for it."""
    url, request = url_of(daemon, face), body()
    first = b"POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head = first + b"Connection: close\r\nContent-Length: %d\r\n\r\n"
    with connect(url) as slow:
        slow.sendall(head % len(request))
        for index in range(5):
            slow.sendall(request[index : index + 1])
            began = time.monotonic()
            assert sent(url, body())[0] == 200
            assert time.monotonic() - began < 5
        slow.sendall(request[5:])
        answer = slow.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["done"] is True
