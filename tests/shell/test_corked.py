"""What is written in one turn of the loop leaves together, in order, and nothing is lost."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from atoll.http.corked import MOST, Corked

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Ends:
    """A corked transport, and the socket at its other end."""

    def __init__(self, corked: Corked, far: socket.socket) -> None:
        self.corked = corked
        self._far = far

    async def read(self, size: int = 1 << 20) -> bytes:
        """What one `recv` gives; b"" at the end."""
        async with asyncio.timeout(10):
            return await asyncio.get_running_loop().sock_recv(self._far, size)

    def nothing_came(self) -> bool:
        try:
            self._far.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        return False


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    near, far = socket.socketpair()
    far.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
    with far:
        yield Ends(Corked(transport, loop), far)
        transport.abort()


async def test_a_write_alone_leaves_at_the_end_of_the_turn(ends: Ends) -> None:
    ends.corked.write(b"one")
    assert ends.nothing_came()
    assert await ends.read() == b"one"


async def test_a_head_and_what_follows_it_leave_at_once_and_together(ends: Ends) -> None:
    """The first token of a burst does not wait for the others."""
    ends.corked.write(b"head ")
    ends.corked.write(b"first")
    for number in range(3, 9):
        ends.corked.write(b" %d" % number)
    await asyncio.sleep(0)
    assert await ends.read(10) == b"head first"
    assert await ends.read() == b" 3 4 5 6 7 8"


async def test_the_next_turn_begins_anew(ends: Ends) -> None:
    for _ in range(2):
        ends.corked.write(b"alone")
        assert await ends.read() == b"alone"


async def test_much_does_not_wait(ends: Ends) -> None:
    """It is the transport that counts what a slow client has not taken."""
    for _ in range(2):
        ends.corked.write(b"x")
    ends.corked.write(b"y" * (MOST + 1))
    came = b""
    while len(came) < MOST + 3:
        came += await ends.read()
    assert came == b"xx" + b"y" * (MOST + 1)


@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_what_was_written_comes_before_the_end(ends: Ends, end: str) -> None:
    ends.corked.write(b"last words")
    getattr(ends.corked, end)()
    assert await ends.read() == b"last words"
    assert await ends.read() == b""


async def test_an_abort_sends_nothing_more(ends: Ends) -> None:
    ends.corked.write(b"never")
    ends.corked.abort()
    assert ends.corked.is_closing()
    assert await ends.read() == b""
