"""Every way in which a model's server can fail becomes one clear error, and no slot stays taken.

Whichever client carries the requests: ours, or httpx.
"""

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

import pytest

from atoll.adapters.peer import Peer, UpstreamStatus
from atoll.adapters.upstream import Upstream
from atoll.errors import (
    Busy,
    ClientError,
    UpstreamError,
    UpstreamGarbage,
    UpstreamRefused,
    UpstreamTimeout,
)
from tests.fakes.upstream import END, HANG, RESET, Hold, Pause, head, piece, streamed, whole
from tests.fakes.upstream import Upstream as FakeServer

pytestmark = pytest.mark.anyio
LIMIT = 10


@pytest.fixture(params=["http1", "httpx"], autouse=True)
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What carries the requests of the test."""
    if request.param == "httpx":
        monkeypatch.setattr("atoll.adapters.upstream.goes_over_http1", lambda peer: False)
    return request.param


def client(url: str, timeout: float = 5.0, **fields) -> Upstream:
    fields = {"name": "Ollama", "remedy": "start it with `ollama serve`", **fields}
    return Upstream(Peer(url=url, timeout=timeout, **fields))


async def lines_of(upstream: Upstream, path: str = "/x") -> list[bytes]:
    async with asyncio.timeout(LIMIT), aclosing(upstream.lines(path, b"{}")) as lines:
        return [line async for line in lines]


async def fails(reply, timeout: float = 5.0) -> Exception:
    """The error of a server that answers like this."""
    async with FakeServer() as server:
        server.on("/x", reply)
        upstream = client(server.url, timeout)
        with pytest.raises(Exception) as caught:  # noqa: PT011
            await lines_of(upstream)
        await upstream.close()
        return caught.value


async def test_a_good_answer_comes_line_by_line():
    async with FakeServer() as server:
        server.on("/x", streamed([b"a\nb", b"c\n", "ä\u2028".encode(), b"\nlast"]))
        upstream = client(server.url)
        assert await lines_of(upstream) == [b"a", b"bc", "ä\u2028".encode(), b"last"]
        await upstream.close()


async def test_a_line_is_there_before_the_next_one_is_sent():
    go_on = asyncio.Event()
    async with FakeServer() as server:
        server.on("/x", streamed([b"first\n", Hold(go_on), b"second\n"]))
        upstream = client(server.url)
        async with asyncio.timeout(LIMIT), aclosing(upstream.lines("/x", b"")) as lines:
            assert await anext(lines) == b"first"
            go_on.set()
            assert await anext(lines) == b"second"
        await upstream.close()


async def test_one_connection_serves_one_request_after_the_other():
    async with FakeServer() as server:
        server.on("/x", streamed([b"a\n"]))
        upstream = client(server.url)
        for _ in range(5):
            await lines_of(upstream)
        assert server.connections == 1
        await upstream.close()


async def test_nobody_listens():
    async with FakeServer() as server:
        url = server.url
    upstream = client(url)
    with pytest.raises(
        UpstreamRefused, match="nothing listens there; start it with `ollama serve`"
    ):
        await lines_of(upstream)
    await upstream.close()


async def test_no_socket_there(tmp_path: Path):
    upstream = client("http://host", socket=tmp_path / "none.sock")
    with pytest.raises(UpstreamRefused, match="nothing listens there"):
        await lines_of(upstream)
    await upstream.close()


async def test_a_server_that_never_answers_is_given_up_after_the_timeout():
    error = await fails([HANG], timeout=0.3)
    assert isinstance(error, UpstreamTimeout)
    assert "said nothing for 0.3 s" in str(error)


async def test_a_server_that_stops_in_mid_stream_is_given_up_after_the_timeout():
    assert isinstance(await fails(streamed([b"a\n", HANG]), timeout=0.3), UpstreamTimeout)


async def test_a_slow_server_is_waited_for():
    """The timeout counts between two pieces, not for the whole answer."""
    async with FakeServer() as server:
        slow = [act for _ in range(6) for act in (b"x", Pause(0.2))]
        server.on("/x", streamed([*slow, b"\n"]))
        upstream = client(server.url, timeout=1.0)
        assert await lines_of(upstream) == [b"x" * 6]
        await upstream.close()


@pytest.mark.parametrize(
    "reply",
    [
        [RESET],
        [head(), piece(b"a\n"), RESET],
        [head(), b"5\r\nab", RESET],
        [head(), piece(b"a\n")],
        [head(length=50), b"short"],
        [b"this is no HTTP\r\n\r\n"],
        [head(), b"zz\r\nnot a size\r\n"],
        [b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n"],
    ],
    ids=["reset", "mid", "in-chunk", "cut", "short", "garbage", "bad-chunk", "huge-head"],
)
async def test_a_broken_answer_is_garbage_and_never_a_foreign_exception(reply):
    error = await fails(reply)
    assert isinstance(error, UpstreamGarbage)
    assert "broke off" in str(error)


async def test_an_endless_line_is_refused():
    megabyte = piece(b"x" * 1024 * 1024)
    assert isinstance(await fails([head(), *[megabyte] * 10, END]), UpstreamGarbage)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (whole({"error": "boom"}, "500 Internal Server Error"), "answered 500: boom"),
        (whole(b"x" * 5000, "502 Bad Gateway", "text/html"), "answered 502: xxx"),
        (whole(b"", "404 Not Found"), "answered 404: (no words)"),
        ([b"HTTP/1.1 307 Go\r\nLocation: http://y/\r\nContent-Length: 0\r\n\r\n"], "set base_url"),
    ],
)
async def test_an_error_status_is_told_in_the_servers_words(reply, said: str):
    error = await fails(reply)
    assert isinstance(error, UpstreamStatus)
    assert said in str(error)
    assert len(str(error)) < 700


@pytest.mark.parametrize(
    ("answered", "status", "who", "kind"),
    [
        (400, 400, "client", ClientError),
        (413, 400, "client", ClientError),
        (422, 400, "client", ClientError),
        (429, 503, "upstream", Busy),
        (503, 503, "upstream", Busy),
        (401, 502, "upstream", UpstreamError),
        (403, 502, "upstream", UpstreamError),
        (404, 502, "upstream", UpstreamError),
        (500, 502, "upstream", UpstreamError),
    ],
)
async def test_an_error_status_becomes_an_error_of_the_side_that_can_act(
    answered: int, status: int, who: str, kind: type[Exception]
):
    error = await fails(whole({"error": "the servers words"}, f"{answered} X"))
    assert isinstance(error, kind)
    assert isinstance(error, UpstreamStatus)
    assert (error.answered, error.status, error.who) == (answered, status, who)
    assert "the servers words" in str(error)


async def test_an_address_that_is_none_is_told_and_no_foreign_exception():
    upstream = client("http://\u2603\u200b")
    with pytest.raises(UpstreamRefused, match="is no address"):
        await lines_of(upstream)
    await upstream.close()


async def test_a_key_is_sent_and_never_repeated():
    async with FakeServer() as server:
        server.on("/x", whole({"error": "wrong key sk-secret"}, "401 No"))
        upstream = client(server.url, api_key="sk-secret")
        with pytest.raises(UpstreamStatus) as caught:
            await lines_of(upstream)
        assert server.requests[0].headers["authorization"] == "Bearer sk-secret"
        assert "sk-secret" not in str(caught.value)
        await upstream.close()


async def test_closing_early_hangs_up_within_a_second():
    async with FakeServer() as server:
        server.on("/x", streamed([b"a\n", HANG]))
        upstream = client(server.url)
        lines = upstream.lines("/x", b"")
        assert await anext(lines) == b"a"
        await lines.aclose()
        assert await asyncio.to_thread(server.requests[0].abandoned.wait, 1)
        await upstream.close()


async def test_cancelling_the_reader_hangs_up():
    async with FakeServer() as server:
        server.on("/x", streamed([b"a\n", HANG]))
        upstream = client(server.url)
        reading = asyncio.create_task(lines_of(upstream))
        while not server.requests:
            await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await asyncio.to_thread(server.requests[0].abandoned.wait, 2)
        await upstream.close()


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(monkeypatch):
    monkeypatch.setitem(os.environ, "HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setitem(os.environ, "http_proxy", "http://127.0.0.1:1")
    async with FakeServer() as server:
        server.on("/x", whole(b"fine"))
        upstream = client(server.url)
        assert await upstream.fetch("GET", "/x") == b"fine"
        await upstream.close()


async def test_a_whole_answer_has_to_be_complete_in_time():
    async with FakeServer() as server:
        server.on("/x", streamed([act for _ in range(50) for act in (b"x", Pause(0.1))]))
        upstream = client(server.url)
        with pytest.raises(UpstreamTimeout, match=r"did not answer within 0\.4 s"):
            await upstream.fetch("GET", "/x", within=0.4)
        await upstream.close()
