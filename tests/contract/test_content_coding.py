"""Compressed request bodies: zstd on /v1, a 415 with the way out everywhere else."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from atoll.http.guard import MAX_BODY
from tests.fakes.packing import zstd
from tests.fakes.ports import FakeModel, text
from tests.fakes.serving import Served, serving

HI = [{"role": "user", "content": "hi"}]
CHAT = {"model": "ghidraagent", "messages": HI}
BODIES = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": "ghidraagent", "prompt": "hi"},
    "/v1/responses": {"model": "ghidraagent", "input": "hi"},
    "/v1/messages": CHAT | {"max_tokens": 9},
}
FIX = "send the body as it is, without the header Content-Encoding"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(FakeModel(*[text("hi")] * 9), tmp_path) as served:
        yield served


def packed(path: str) -> bytes:
    return zstd.compress(json.dumps(BODIES[path]).encode())


def send(
    served: Served, path: str, body: bytes | Iterator[bytes], coding: str = "zstd", **headers: str
) -> requests.Response:
    given = {"Content-Type": "application/json", "Content-Encoding": coding} | headers
    return requests.post(served.url + path, data=body, headers=given, timeout=30)


def words(answer: requests.Response) -> str:
    error = answer.json()["error"]
    return str(error if isinstance(error, str) else error["message"])


@pytest.mark.parametrize("path", BODIES)
def test_every_dialect_of_v1_takes_zstd(served: Served, path: str) -> None:
    answer = send(served, path, packed(path))
    assert answer.status_code == 200, answer.text
    assert '"hi"' in answer.text


def test_in_chunks_as_well(served: Served) -> None:
    path = "/v1/chat/completions"
    body = packed(path)
    answer = send(served, path, (body[at : at + 1] for at in range(len(body))))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("coding", ["ZSTD", "zstd ", "identity", ""])
def test_the_name_counts_in_any_case_and_identity_is_none(served: Served, coding: str) -> None:
    path = "/v1/chat/completions"
    is_packed = "zstd" in coding.lower()
    body = packed(path) if is_packed else json.dumps(BODIES[path]).encode()
    assert send(served, path, body, coding).status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd, gzip", "x" * 500, "\xe9"])
@pytest.mark.parametrize("path", BODIES)
def test_another_coding_is_415_in_the_words_of_the_dialect(
    served: Served, path: str, coding: str
) -> None:
    answer = send(served, path, gzip.compress(b"{}"), coding)
    assert answer.status_code == 415
    assert "only zstd is" in words(answer)
    assert words(answer).endswith(FIX)
    assert len(words(answer)) < 250


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/embed", "/api/show"])
def test_ollamas_own_paths_take_none(served: Served, path: str, coding: str) -> None:
    answer = send(served, path, zstd.compress(json.dumps(CHAT).encode()), coding)
    assert answer.status_code == 415
    assert words(answer) == f"{path} takes no compressed bodies; {FIX}"


def test_a_coding_named_twice_is_415(served: Served) -> None:
    body = packed("/v1/chat/completions")
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nContent-Encoding: zstd\r\nContent-Encoding: zstd\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    assert served.raw(head.encode() + body).startswith(b"HTTP/1.1 415")


@pytest.mark.parametrize("path", BODIES)
def test_a_bomb_is_413(served: Served, path: str) -> None:
    bomb = zstd.compress(b'{"model": "' + b"x" * MAX_BODY)
    assert len(bomb) < 10_000
    answer = send(served, path, bomb)
    assert answer.status_code == 413
    assert words(answer) == f"the unpacked body is over the limit of {MAX_BODY} bytes"


def test_a_packed_body_over_the_limit_is_413_however_it_is_sent(served: Served) -> None:
    skipped = b"\x50\x2a\x4d\x18" + MAX_BODY.to_bytes(4, "little") + bytes(MAX_BODY)
    path = "/v1/chat/completions"
    for body in (skipped, iter([skipped])):
        assert send(served, path, body).status_code == 413


@pytest.mark.parametrize("path", BODIES)
def test_broken_bodies_are_400(served: Served, path: str) -> None:
    cut = send(served, path, packed(path)[:-3])
    plain = send(served, path, json.dumps(BODIES[path]).encode())
    assert (cut.status_code, plain.status_code) == (400, 400)
    assert words(cut) == "the body ends in the middle of a zstd frame"
    assert words(plain).startswith("the body is no valid zstd: ")


def test_what_was_packed_is_checked_as_if_it_had_not_been(served: Served) -> None:
    path = "/v1/chat/completions"
    assert send(served, path, zstd.compress(b"{not json")).status_code == 400
    assert send(served, path, b"").status_code == 400
    foreign = send(served, path, packed(path), Origin="http://evil.example")
    assert foreign.status_code == 403


def test_the_connection_is_good_for_the_next_request(served: Served) -> None:
    path = "/v1/chat/completions"
    with requests.Session() as session:
        headers = {"Content-Type": "application/json", "Content-Encoding": "zstd"}
        for body, status in ((packed(path), 200), (packed(path)[:-3], 400), (packed(path), 200)):
            answer = session.post(served.url + path, data=body, headers=headers, timeout=30)
            assert answer.status_code == status
