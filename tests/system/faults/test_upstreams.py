"""Rows 39 and 42 of the fault matrix: a model's server that fails, and clients that leave."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.fakes.daemon import PLAIN, Daemon, add_agent, eventually, running
from tests.fakes.holds import watching
from tests.fakes.upstream import (
    END,
    HANG,
    RESET,
    Act,
    Pause,
    Reply,
    Upstream,
    head,
    ollama_chat,
    ollama_end,
    ollama_line,
    piece,
    streamed,
    upstream_in_thread,
    whole,
)

AGENT = """
[agent]
name = "{name}"

[llm]
provider = "ollama"
base_url = "{url}"
model = "llama2"
request_timeout = {timeout}

[resources]
max_concurrent_requests = 1
max_queue = {queue}

[deployment]
health_check_interval = 1
"""
SILENCE = 0.5
"""Seconds that the agents wait for their model's server."""
LEFT_WITHIN = 1.0
GOOD = ollama_chat("Hel", "lo")
SICK = whole({"error": "boom"}, "500 Internal Server Error")
CHAT = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
SHOW = {"model_info": {"general.architecture": "llama"}, "capabilities": ["completion"]}


def add_remote(daemon: Daemon, name: str, url: str, timeout: float = 60, queue: int = 0) -> None:
    """An agent that has one turn at a time, so that a slot which stays taken is seen."""
    text = AGENT.format(name=name, url=url, timeout=timeout, queue=queue)
    add_agent(daemon.agents, name).write_text(text)


def well(upstream: Upstream) -> None:
    upstream.on("/api/version", whole({"version": "0.13.0"}))
    upstream.on("/api/show", whole(SHOW))
    upstream.on("/api/tags", whole({"models": []}))
    for path in ("/api/chat", "/api/generate"):
        upstream.on(path, GOOD)


def slowly(data: bytes, seconds: float = 1.0) -> list[Act]:
    """Its first bytes come one at a time."""
    one_by_one = [act for byte in data[:3] for act in (piece(bytes([byte])), Pause(seconds))]
    return [head("application/x-ndjson"), *one_by_one, piece(data[3:]), END]


class Bad(NamedTuple):
    """How a server answers a turn, and whether it also fails what it is asked else."""

    reply: Reply
    says: str
    whole_server: bool = False


BAD = [
    Bad([HANG], "said nothing for 0.5 s", whole_server=True),
    Bad(streamed([ollama_line("Hel"), HANG]), "said nothing for 0.5 s"),
    Bad([head(), piece(ollama_line("Hel")), b"99\r\nab", RESET], "broke"),
    Bad([RESET], "broke off", whole_server=True),
    Bad(SICK, "answered 500: boom", whole_server=True),
    Bad(streamed([ollama_line("Hel"), b'{"message": \xff[\n']), "Ollama"),
    Bad(streamed([ollama_line("Hel")]), "broke off"),
]


@contextmanager
def nobody_accepts() -> Iterator[str]:
    """A server that hangs at connect: its queue is full, so the kernel drops every SYN."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            for sock in waiting:
                sock.close()


@contextmanager
def nobody_listens() -> Iterator[str]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.timeout(240)
def test_row_39_a_bad_model_server_costs_its_client_an_error_and_the_agent_nothing(
    tmp_path: Path,
) -> None:
    daemon = Daemon(tmp_path)
    with (
        upstream_in_thread(well) as upstream,
        nobody_listens() as refuses,
        nobody_accepts() as hangs,
    ):
        add_remote(daemon, "Remote", upstream.url, SILENCE)
        add_remote(daemon, "Patient", upstream.url)
        add_remote(daemon, "Refused", refuses, SILENCE)
        add_remote(daemon, "Unaccepted", hangs, SILENCE)
        with running(daemon), watching(daemon) as watch:
            for slug, says in (("refused", "nothing listens"), ("unaccepted", "did not take")):
                url = str(daemon.row(slug)["url"])
                is_degraded(url)
                fails(url, says)
            url = str(daemon.row("remote")["url"])
            for bad in BAD:
                for path in ("/api/chat", "/api/version") if bad.whole_server else ("/api/chat",):
                    upstream.on(path, bad.reply)
                if bad.whole_server:
                    is_degraded(url)
                fails(url, bad.says)
                well(upstream)
                assert daemon.chat(daemon.row("remote")["port"]) == "Hello", "its slot is free"
            upstream.on("/api/chat", slowly(ollama_line("Hello") + ollama_end()))
            assert daemon.chat(daemon.row("patient")["port"]) == "Hello", "slow is not silent"
            eventually(lambda: health(url)["status"] == "healthy")
            assert watch.problems == []


def health(url: str) -> dict[str, object]:
    """What an agent says of itself; always 200."""
    answer = httpx.get(f"{url}/health", timeout=10, verify=PLAIN)
    assert answer.status_code == 200
    told: dict[str, object] = answer.json()
    return told


def is_degraded(url: str) -> None:
    eventually(lambda: (health(url)["status"], health(url)["ok"]) == ("degraded", False), 10)
    assert health(url)["reason"]


def fails(url: str, says: str) -> None:
    """Every form of an answer ends with an error in its dialect, and the turn is over."""
    for stream in (True, False):
        body = {**CHAT, "model": "llama2", "stream": stream}
        answer = ask(f"{url}/api/chat", body)
        assert says in str(json.loads(answer.text.splitlines()[-1])["error"]), answer.text
        assert answer.status_code == 200 if "Hel" in answer.text else answer.status_code >= 500
        answer = ask(f"{url}/v1/chat/completions", body)
        assert says in error_of_openai(answer.text), answer.text
    assert health(url)["in_flight"] == 0


def ask(url: str, body: dict[str, object]) -> httpx.Response:
    return httpx.post(url, json=body, timeout=20, verify=PLAIN)


def error_of_openai(text: str) -> str:
    """The message of an error, whether it is the whole answer or the last event."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.strip()]
    last = next(line for line in reversed(lines) if line != "[DONE]")
    return str(json.loads(last)["error"]["message"])


CHUNKS = 3
ROUTES = {
    "/api/chat": ("/api/chat", CHAT),
    "/api/generate": ("/api/chat", {"prompt": "hi", "stream": True}),
    "/v1/chat/completions": ("/api/chat", CHAT),
}


@pytest.mark.timeout(180)
def test_row_42_a_client_that_leaves_at_any_chunk_ends_the_turn_and_frees_its_slot(
    tmp_path: Path,
) -> None:
    daemon = Daemon(tmp_path)
    with upstream_in_thread(well) as upstream:
        add_remote(daemon, "Remote", upstream.url, queue=1)
        with running(daemon), watching(daemon):
            url = str(daemon.row("remote")["url"])
            for route in ROUTES:
                for chunks in range(CHUNKS + 1):
                    for rudely in (False, True):
                        leaves(upstream, url, route, chunks, rudely)
            leaves_the_queue(upstream, url)


def leaves(upstream: Upstream, url: str, route: str, chunks: int, rudely: bool) -> None:
    """Read so many chunks of an answer without end, then go."""
    path, body = ROUTES[route]
    words = [f"word{number}" for number in range(chunks)]
    upstream.on(path, streamed([*map(ollama_line, words), HANG]))
    before = len(upstream.asked(path))
    with client(url, route, body) as sock:
        eventually(lambda: len(upstream.asked(path)) > before)
        read_until(sock, words)
        if rudely:  # TCP RST
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    left = time.monotonic()
    assert upstream.asked(path)[-1].abandoned.wait(LEFT_WITHIN), (route, chunks, rudely)
    eventually(lambda: health(url)["in_flight"] == 0, left + LEFT_WITHIN - time.monotonic())
    upstream.on(path, GOOD)
    assert ask(f"{url}/api/chat", {**CHAT, "model": "llama2"}).status_code == 200


def leaves_the_queue(upstream: Upstream, url: str) -> None:
    """One that waits for its turn gives its place back, and its turn never comes."""
    upstream.on("/api/chat", [HANG])
    before = len(upstream.asked("/api/chat"))
    with client(url, "/api/chat", CHAT):
        eventually(lambda: health(url)["in_flight"] == 1)
        with client(url, "/api/chat", CHAT):
            eventually(lambda: health(url)["queued"] == 1)
            assert ask(f"{url}/api/chat", {**CHAT, "model": "llama2"}).status_code == 503
        eventually(lambda: health(url)["queued"] == 0, LEFT_WITHIN)
    eventually(lambda: health(url)["in_flight"] == 0, LEFT_WITHIN)
    assert len(upstream.asked("/api/chat")) == before + 1


def client(url: str, route: str, body: dict[str, object]) -> socket.socket:
    """A request on its way, on a connection of its own."""
    port = int(url.rpartition(":")[2])
    sent = json.dumps({"model": "llama2", **body}).encode()
    lines = f"POST {route} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    sock.sendall(f"{lines}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
    return sock


def read_until(sock: socket.socket, words: list[str]) -> None:
    seen = b""
    while words and words[-1].encode() not in seen:
        seen += sock.recv(65_536)
