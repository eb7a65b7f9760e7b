"""What of a message goes through the gateway, and how a stream that broke off ends."""

import json
from collections.abc import AsyncGenerator

import pytest

from atoll.http.faults import Dialect
from atoll.wire.events import Failure
from atoll_supervisor.gateway.relay import (
    MOST_HELD,
    Kind,
    asked_with,
    kind_of,
    last_words,
    told_with,
    whole_lines,
)

pytestmark = pytest.mark.anyio
GONE = Failure("agent_went_away", "it went away", "agent", 502)


def test_what_belongs_to_one_connection_is_not_passed_on() -> None:
    asked = [
        (b"host", b"gateway"),
        (b"connection", b"close, X-Mine"),
        (b"x-mine", b"1"),
        (b"transfer-encoding", b"chunked"),
        (b"origin", b"http://localhost:3000"),
        (b"accept", b"*/*"),
    ]
    told = [(b"transfer-encoding", b"chunked"), (b"keep-alive", b"5"), (b"x-mine", b"1")]
    assert asked_with(asked, authorized=False) == [(b"accept", b"*/*")]
    assert told_with(told) == [(b"x-mine", b"1"), (b"x-accel-buffering", b"no")]


def test_a_token_is_shown_only_to_agents_that_want_one() -> None:
    headers = [(b"authorization", b"Bearer of-somebody")]
    assert asked_with(headers, authorized=False) == []
    assert asked_with(headers, authorized=True) == headers


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({b"content-type": b"application/x-ndjson"}, "lines"),
        ({b"content-type": b"Text/Event-Stream; charset=utf-8"}, "events"),
        ({b"content-type": b"application/json"}, "whole"),
        ({b"content-type": b"application/x-ndjson", b"content-length": b"9"}, "whole"),
        ({}, "whole"),
    ],
)
def test_only_a_stream_without_a_length_has_room_for_an_error(
    headers: dict[bytes, bytes], kind: Kind
) -> None:
    assert kind_of(headers.items()) == kind


@pytest.mark.parametrize(
    ("dialect", "kind", "begins"),
    [
        ("ollama", "lines", b'{"error":"it went away"'),
        ("openai", "events", b'\ndata: {"error":{"message":"it went away"'),
        ("anthropic", "events", b"\nevent: error\ndata: {"),
        ("ollama", "whole", b""),
    ],
)
def test_a_stream_ends_with_its_dialects_own_error(
    dialect: Dialect, kind: Kind, begins: bytes
) -> None:
    words = last_words(dialect, kind, GONE)
    assert words.startswith(begins)
    assert words.endswith(b"\n") or not words
    if kind == "events":
        assert json.loads(words.partition(b"data: ")[2])["error"]["message"] == "it went away"


async def _pieces(*pieces: bytes) -> AsyncGenerator[bytes, None]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ((b"a\n", b"b\n"), [b"a\n", b"b\n"]),
        ((b"a\nb", b"c\nd\n"), [b"a\n", b"bc\nd\n"]),
        ((b"a", b"b", b"c"), [b"abc"]),
        ((), []),
    ],
)
async def test_a_line_goes_out_as_soon_as_it_is_complete(
    pieces: tuple[bytes, ...], lines: list[bytes]
) -> None:
    assert [line async for line in whole_lines(_pieces(*pieces))] == lines


async def test_a_line_without_end_is_not_held_for_ever() -> None:
    piece = b"x" * (MOST_HELD // 2 + 1)
    assert [len(part) async for part in whole_lines(_pieces(piece, piece, piece))] == [
        2 * len(piece),
        len(piece),
    ]


async def test_of_a_line_that_breaks_off_nothing_goes_out() -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        yield b'{"a":1}\n{"b'
        raise ConnectionError

    parts = whole_lines(broken())
    assert await anext(parts) == b'{"a":1}\n'
    with pytest.raises(ConnectionError):
        await anext(parts)
