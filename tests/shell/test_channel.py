"""What a supervised process says to its keeper, and what it does when nobody listens."""

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest

from atoll.adapters.channel import (
    LAG_STEP,
    Channel,
    KeeperGone,
    NoChannel,
    Pulse,
    beating,
    open_channel,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(10)
    with ours, theirs:
        yield ours, theirs


def test_each_word_is_one_datagram_in_the_spelling_of_sd_notify(pair) -> None:
    keeper, unit = pair
    channel = Channel(unit)
    channel.ready()
    channel.beat(Pulse(3, 12.5), 0)
    channel.draining()
    channel.stopping()
    said = [keeper.recv(500) for _ in range(4)]
    beat = b"WATCHDOG=1\nIN_FLIGHT=3\nLAG_MS=0\nACTIVE=12.500\n"
    assert said == [b"READY=1\n", beat, b"DRAINING=1\n", b"STOPPING=1\n"]


def test_small_lags_are_told_as_none_so_that_idle_beats_are_equal(pair) -> None:
    keeper, unit = pair
    channel = Channel(unit)
    for lag in (0, 3, LAG_STEP - 1):
        channel.beat(Pulse(), lag)
    assert len({keeper.recv(500) for _ in range(3)}) == 1
    channel.beat(Pulse(), 1234)
    assert b"LAG_MS=1200\n" in keeper.recv(500)


def test_the_variable_and_the_descriptor_are_no_childs(pair) -> None:
    keeper, unit = pair
    number = unit.detach()
    os.set_inheritable(number, True)
    environ = {"ATOLL_CHANNEL_FD": str(number), "OTHER": "x"}
    channel = open_channel(environ)
    assert environ == {"OTHER": "x"}
    assert not os.get_inheritable(number)
    channel.ready()
    assert keeper.recv(100) == b"READY=1\n"
    channel.close()


def test_without_the_variable_nothing_is_said() -> None:
    channel = open_channel({})
    assert not channel.heard
    channel.ready()
    channel.beat(Pulse())
    channel.stopping()


@pytest.mark.parametrize("given", ["4711", "none", "-1"])
def test_a_variable_that_names_no_channel_is_explained(given: str) -> None:
    with pytest.raises(NoChannel, match=f"ATOLL_CHANNEL_FD is '{given}', which is no channel"):
        open_channel({"ATOLL_CHANNEL_FD": given})


def test_a_keeper_that_is_gone_is_noticed(pair) -> None:
    keeper, unit = pair
    keeper.close()
    with pytest.raises(KeeperGone):
        Channel(unit).ready()


def test_a_keeper_that_does_not_read_holds_nobody_up(pair) -> None:
    keeper, unit = pair
    channel = Channel(unit)
    for _ in range(5000):
        channel.beat(Pulse())
    keeper.setblocking(False)
    heard = 0
    while True:
        try:
            keeper.recv(500)
        except BlockingIOError:
            break
        heard += 1
    assert 0 < heard < 5000


async def test_beats_come_from_the_loop_and_a_loop_that_hung_says_so(
    pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, unit = pair
    keeper.setblocking(False)
    monkeypatch.setattr("atoll.adapters.channel.BEAT", 0.05)
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(beating(Channel(unit), lambda: Pulse(2)))
    async with asyncio.timeout(10):
        assert (await loop.sock_recv(keeper, 500)).startswith(b"WATCHDOG=1\nIN_FLIGHT=2\n")
        blocked = loop.time() + 0.5
        while loop.time() < blocked:
            pass
        late = await loop.sock_recv(keeper, 500)
    lag = int(late.partition(b"LAG_MS=")[2].partition(b"\n")[0])
    assert lag >= 300
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_beating_ends_with_the_keeper(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, unit = pair
    monkeypatch.setattr("atoll.adapters.channel.BEAT", 0.01)
    keeper.close()
    with pytest.raises(KeeperGone):
        async with asyncio.timeout(10):
            await beating(Channel(unit), Pulse)


async def test_nobody_is_told_of_beats_without_a_keeper() -> None:
    async with asyncio.timeout(10):
        await beating(Channel(), Pulse)
