"""Our HTTP/1.1 client against servers that behave and that do not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from atoll.adapters.http1 import Place, Pool, Unreachable
from atoll.adapters.http1_connection import MOST_BUFFERED, Broken, Silent
from tests.fakes.upstream import HANG, RESET, Hold, Upstream, head, piece, streamed, whole

pytestmark = pytest.mark.anyio
LIMIT = 10


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def server() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture
async def pool(server: Upstream) -> AsyncIterator[Pool]:
    pool = Pool(Place("127.0.0.1", server.port))
    yield pool
    pool.close()


async def got(pool: Pool, path: str = "/x", patience: float = LIMIT) -> bytes:
    async with asyncio.timeout(LIMIT), pool.ask("POST", path, (), b"{}", patience) as answer:
        return await answer.whole(1 << 20)


async def test_a_request_is_written_as_rfc_9112_has_it(server: Upstream, pool: Pool) -> None:
    server.on("/x", whole(b"yes"))
    async with pool.ask("POST", "/x?a=b", ((b"x-mine", b"1"),), b"body", LIMIT) as answer:
        assert (answer.status, await answer.whole(10)) == (200, b"yes")
        assert (b"content-type", b"application/json") in answer.headers
    seen = server.requests[0]
    assert (seen.method, seen.path, seen.body) == ("POST", "/x?a=b", b"body")
    assert seen.headers["host"] == f"127.0.0.1:{server.port}"
    assert (seen.headers["x-mine"], seen.headers["content-length"]) == ("1", "4")


async def test_a_connection_is_used_again_after_a_complete_answer(
    server: Upstream, pool: Pool
) -> None:
    server.on("/x", whole(b"yes"), streamed([b"y", b"es"]))
    assert [await got(pool) for _ in range(4)] == [b"yes"] * 4
    assert server.connections == 1


async def test_an_answer_whose_empty_body_nobody_reads_leaves_the_connection_free(
    server: Upstream, pool: Pool
) -> None:
    server.on("/x", [b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"])
    for _ in range(3):
        async with pool.ask("GET", "/x", (), None, LIMIT) as answer:
            assert answer.status == 204
    assert server.connections == 1


async def test_leaving_in_the_middle_of_a_body_closes_the_connection(
    server: Upstream, pool: Pool
) -> None:
    server.on("/x", [head(), piece(b"one"), HANG])
    async with pool.ask("GET", "/x", (), None, LIMIT) as answer:
        assert await anext(answer.pieces()) == b"one"
    assert await asyncio.to_thread(server.requests[0].abandoned.wait, LIMIT)


async def test_a_kept_connection_that_the_server_closed_is_no_failure(
    server: Upstream, pool: Pool
) -> None:
    server.on("/x", whole(b"one"), [RESET], whole(b"two"))
    assert await got(pool) == b"one"
    assert await got(pool) == b"two"
    assert len(server.requests) == 3


async def test_a_fresh_connection_that_is_reset_is_told_as_untouched(
    server: Upstream, pool: Pool
) -> None:
    server.on("/x", [RESET])
    with pytest.raises(Broken) as caught:
        await got(pool)
    assert caught.value.untouched


@pytest.mark.parametrize(
    "reply",
    [
        [b"HTTP/1.1 200 OK\r\nContent-"],
        [head(length=10) + b"short"],
        [head(), piece(b"one"), RESET],
        [b"SSH-2.0-OpenSSH_9.2\r\n"],
        [b"HTTP/1.1 200 OK\r\n" + b"x-pad: y\r\n" * 10_000],
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"],
    ],
)
async def test_what_breaks_off_after_the_first_byte_is_told_as_touched(
    server: Upstream, pool: Pool, reply: list[bytes]
) -> None:
    server.on("/x", reply)
    with pytest.raises(Broken) as caught:
        await got(pool)
    assert not caught.value.untouched


async def test_nobody_there_is_unreachable() -> None:
    async with Upstream() as upstream:
        port = upstream.port
    with pytest.raises(Unreachable):
        await got(Pool(Place("127.0.0.1", port)))


async def test_no_such_socket_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        await got(Pool(Place("localhost", 80, tmp_path / "none.sock")))


async def test_silence_is_told_after_the_patience_that_was_given(
    server: Upstream, pool: Pool
) -> None:
    server.on("/x", [HANG])
    with pytest.raises(Silent):
        await got(pool, patience=0.2)
    server.on("/x", [head(), piece(b"one"), HANG])
    with pytest.raises(Silent):
        await got(pool, patience=0.2)


async def test_a_body_without_a_length_ends_with_the_connection(
    server: Upstream, pool: Pool
) -> None:
    server.on("/x", [b"HTTP/1.1 200 OK\r\n\r\nall of it"])
    assert await got(pool) == b"all of it"


async def test_what_comes_before_the_real_answer_is_passed_over(
    server: Upstream, pool: Pool
) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    server.on("/x", [hint + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"])
    async with pool.ask("GET", "/x", (), None, LIMIT) as answer:
        assert (answer.status, answer.headers) == (200, ((b"content-length", b"3"),))
        assert await answer.whole(10) == b"yes"


async def test_a_second_answer_to_one_request_spoils_the_connection_and_not_the_first(
    server: Upstream, pool: Pool
) -> None:
    server.on("/x", [head(length=3) + b"one" + head(length=3) + b"two"])
    assert [await got(pool) for _ in range(2)] == [b"one"] * 2
    assert server.connections == 2


async def test_an_answer_that_is_too_long_is_not_read_to_its_end(
    server: Upstream, pool: Pool
) -> None:
    server.on("/x", whole(b"x" * 100))
    with pytest.raises(Broken):
        async with pool.ask("GET", "/x", (), None, LIMIT) as answer:
            await answer.whole(50)


async def test_a_piece_is_there_before_the_next_one_is_sent(server: Upstream, pool: Pool) -> None:
    go_on = asyncio.Event()
    server.on("/x", streamed([b"one", Hold(go_on), b"two"]))
    async with asyncio.timeout(LIMIT), pool.ask("GET", "/x", (), None, LIMIT) as answer:
        pieces = answer.pieces()
        assert await anext(pieces) == b"one"
        go_on.set()
        assert b"".join([data async for data in pieces]) == b"two"


async def test_a_reader_that_is_slow_slows_the_server_down(server: Upstream, pool: Pool) -> None:
    """Each piece is all that waited: were the server not held up, one would be nearly all."""
    size = 64 << 20
    server.on("/x", whole(b"x" * size))
    largest = total = 0
    async with asyncio.timeout(LIMIT * 3), pool.ask("GET", "/x", (), None, LIMIT) as answer:
        async for data in answer.pieces():
            largest, total = max(largest, len(data)), total + len(data)
            await asyncio.sleep(0.005)
    assert total == size
    assert largest < 2 * MOST_BUFFERED


async def test_a_request_that_is_cancelled_closes_its_connection(
    server: Upstream, pool: Pool
) -> None:
    server.on("/x", [HANG])
    asking = asyncio.create_task(got(pool))
    async with asyncio.timeout(LIMIT):
        while not server.requests:
            await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait({asking})
    assert await asyncio.to_thread(server.requests[0].abandoned.wait, LIMIT)


async def test_requests_at_the_same_time_have_a_connection_each(
    server: Upstream, pool: Pool
) -> None:
    go_on = asyncio.Event()
    server.on("/x", [Hold(go_on), *whole(b"yes")])
    asking = [asyncio.create_task(got(pool)) for _ in range(5)]
    async with asyncio.timeout(LIMIT):
        while len(server.requests) < 5:
            await asyncio.sleep(0.01)
    go_on.set()
    assert await asyncio.gather(*asking) == [b"yes"] * 5
    assert server.connections == 5


async def test_an_ipv6_place_is_named_with_brackets() -> None:
    assert Place("::1", 8100).authority == "[::1]:8100"
    assert Place("localhost", 80, Path("x.sock")).authority == "localhost"
