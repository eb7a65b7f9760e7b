"""Raw-socket abuse: every connection is bounded in size and in time (attacks.md section 0.1)."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.http.protocol import Limits
from tests.fakes.asking import wait_for
from tests.fakes.ports import FakeModel, text
from tests.fakes.serving import EndlessModel, Served, read_all, read_answer, serving

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(FakeModel(text("hi")), tmp_path) as served:
        yield served


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Served]:
    limits = Limits(
        head_timeout=0.3, body_window=0.3, body_min=50, request_bytes=200_000, linger=0.3
    )
    with serving(FakeModel(), tmp_path, limits=limits) as served:
        yield served


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.mark.parametrize(
    "hosts",
    [b"", b"Host: localhost\r\nHost: localhost\r\n", b"Host: localhost\r\nhost: evil.example\r\n"],
)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_exactly_one_host(served: Served, hosts: bytes, version: bytes) -> None:
    answer = served.raw(b"GET / HTTP/" + version + b"\r\n" + hosts + b"\r\n")
    assert status(answer) == 400
    assert b'{"error":"a request needs exactly one Host header"}' in answer


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n", id="one long header"),
        pytest.param(HEAD + b"X: 1\r\n" * 100_000 + b"\r\n", id="100 000 headers"),
        pytest.param(HEAD + b"X: 1\r\n" * 200 + b"\r\n", id="200 headers"),
        pytest.param(HEAD + b"X: " + b"a" * 3_000_000, id="a header without an end"),
        pytest.param(b"GET /" + b"a" * 3_000_000, id="a path without an end"),
        pytest.param(b"a" * 10 + b"X" * 3_000_000, id="a method without an end"),
    ],
)
def test_a_head_is_bounded_in_bytes_and_count(served: Served, data: bytes) -> None:
    assert status(served.raw(data)) in ((431,) if data.startswith(HEAD) else (400, 431))


def test_a_head_of_usual_size_passes(served: Served) -> None:
    cookie = b"Cookie: " + b"a" * 30_000 + b"\r\n"
    data = HEAD + cookie + b"X: 1\r\n" * 90 + b"Connection: close\r\n\r\n"
    assert status(served.raw(data)) == 200


SMUGGLING = {
    "CL and TE": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two CL": b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "TE with a space": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "negative CL": b"Content-Length: -1\r\n\r\n",
    "CL with a sign": b"Content-Length: +4\r\n\r\nabcd",
    "TE not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "NUL in a header": b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
    "a folded header": b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a bare CR": b"X: a\rY: b\r\nContent-Length: 0\r\n\r\n",
    "a bad chunk size": b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_what_proxies_and_servers_read_differently_is_refused(served: Served, name: str) -> None:
    answer = served.raw(POST + SMUGGLING[name])
    assert status(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "line", [b"GET http://evil.example/ HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"GET * HTTP/1.1"]
)
def test_the_target_must_be_a_path(served: Served, line: bytes) -> None:
    assert status(served.raw(line + b"\r\nHost: localhost\r\n\r\n")) == 400


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)
def test_other_protocols_get_a_plain_400(served: Served, data: bytes) -> None:
    answer = served.raw(data)
    assert status(answer) == 400
    assert b"application/json" in answer


@pytest.mark.parametrize("start", [b"", b"GET / HT", HEAD, b"\r\n", b"\r\n\r\n"])
def test_a_head_that_never_ends_is_ended(hasty: Served, start: bytes) -> None:
    began = time.monotonic()
    answer = hasty.raw(start)
    assert status(answer) == 408
    assert time.monotonic() - began < 5


def test_a_head_sent_byte_by_byte_is_ended_all_the_same(hasty: Served) -> None:
    with hasty.connect() as sock:
        try:
            for _ in range(100):
                sock.sendall(b"G")
                time.sleep(0.02)
        except OSError:
            return
        assert status(read_all(sock)) in (400, 408)


@pytest.mark.parametrize(
    "start",
    [
        b"Content-Length: 100\r\n\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"Content-Length: 100\r\n\r\n",
    ],
)
def test_a_body_that_starves_is_ended(hasty: Served, start: bytes) -> None:
    began = time.monotonic()
    assert status(hasty.raw(POST + start)) == 408
    assert time.monotonic() - began < 5


def test_a_slow_second_request_is_ended_too(hasty: Served) -> None:
    with hasty.connect() as sock:
        sock.sendall(HEAD + b"\r\n")
        assert b"Ollama is running" in read_answer(sock)
        sock.sendall(b"GET /")
        assert status(read_all(sock)) == 408


def test_endless_chunk_extensions_are_ended(hasty: Served) -> None:
    data = POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1;x=" + b"y" * 400_000
    assert status(hasty.raw(data)) in (400, 413)


def test_trailers_do_not_become_headers(served: Served) -> None:
    body = b'5\r\n{"mod\r\n0\r\nHost: evil.example\r\n\r\n'
    head = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = served.raw(head + body)
    assert status(answer) == 400
    assert b"truncated" in answer or b"error" in answer


def test_a_body_that_goes_on_after_its_refusal_is_cut_off(hasty: Served) -> None:
    with hasty.connect() as sock:
        sock.sendall(POST + b"Content-Length: 99000000\r\n\r\n")
        began = time.monotonic()
        assert status(read_all(sock)) == 413
        assert time.monotonic() - began < 5


def test_two_requests_in_one_packet_are_both_answered(served: Served) -> None:
    answer = served.raw(HEAD + b"\r\n" + HEAD + b"Connection: close\r\n\r\n")
    assert answer.count(b"Ollama is running") == 2


def test_other_clients_are_served_meanwhile(hasty: Served) -> None:
    slow = [hasty.connect() for _ in range(50)]
    for sock in slow:
        sock.sendall(b"GET / HTTP/1.1\r\n")
    try:
        assert status(hasty.raw(HEAD + b"Connection: close\r\n\r\n")) == 200
    finally:
        for sock in slow:
            sock.close()


def test_a_client_that_never_reads_gives_its_place_back(tmp_path: Path) -> None:
    model = EndlessModel("x" * 1_000_000)
    body = b'{"model":"llama2","messages":[{"role":"user","content":"go"}]}'
    with (
        serving(model, tmp_path, limits=Limits(write_timeout=0.3)) as served,
        served.connect() as sock,
    ):
        sock.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert model.stopped.wait(10)
        wait_for(lambda: served.agent.in_flight == 0)
