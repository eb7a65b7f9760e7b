"""The daemon's end of the keeper's socket, over real sockets and with a real keeper."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from atoll_supervisor.keeper import protocol as p
from atoll_supervisor.keeper.packets import MAX_PACKET, decode_command, encode
from atoll_supervisor.shell import keepers
from atoll_supervisor.shell.keeper_link import KeeperLink
from atoll_supervisor.shell.keepers import NoKeeper, Reached, reach
from atoll_supervisor.shell.own_port import UNIT, Wish, own_port
from tests.fakes.waiting import until

pytestmark = pytest.mark.anyio

LIMIT = 20.0


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The daemon's end and the keeper's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.settimeout(LIMIT)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
async def reached(tmp_path: Path) -> AsyncIterator[Reached]:
    """A keeper of our own, started on the way."""
    path = tmp_path / "run" / "keeper.sock"
    found = await reach(path, tmp_path / "keeper.log", dict(os.environ))
    try:
        yield found
    finally:
        found.link.close()
        assert await asyncio.to_thread(keepers.end, path, LIMIT)
        await until(lambda: keepers.reap(found.pid))


async def test_it_says_hello_and_tells_states_in_their_order(ends) -> None:
    ours, theirs = ends
    link = KeeperLink(ours)
    assert decode_command(theirs.recv(MAX_PACKET)) == p.Hello(pid=os.getpid())
    told: list[p.State] = []
    states = [p.Process("a", n, "serving", n) for n in range(1, 4)]
    theirs.send(encode(p.Welcome(1, 7, 0.0)))
    theirs.send(encode(states[0]))
    theirs.send(b'{"op": "of another version"}')
    theirs.send(encode(p.Synced()))
    assert (await link.welcome).pid == 7
    await link.synced
    assert link.take() == (states[0],)
    theirs.send(encode(states[1]))
    await asyncio.sleep(0.05)  # nobody attends yet; it must not be lost
    link.attend(told.extend, lambda: None)
    theirs.send(encode(states[2]))
    await until(lambda: told == states[1:])
    link.close()


async def test_commands_that_the_keeper_does_not_take_yet_are_sent_in_their_order(ends) -> None:
    ours, theirs = ends
    link = KeeperLink(ours)
    commands = [p.Forget("x" * 5000, number) for number in range(2000)]
    for command in commands:
        link.send(command)
    got = await asyncio.to_thread(_take, theirs, 2001)
    assert got[1:] == commands
    link.close()


def _take(sock: socket.socket, count: int) -> list[p.Command]:
    return [decode_command(sock.recv(MAX_PACKET)) for _ in range(count)]


async def test_a_command_that_is_too_large_is_refused_and_the_link_goes_on(ends) -> None:
    ours, theirs = ends
    link = KeeperLink(ours)
    huge = p.Launch("a", 1, "exec", ["x"], {"BIG": "x" * MAX_PACKET}, "/", "/log")
    with pytest.raises(OSError, match="environment must be shorter"):
        link.send(huge)
    link.send(p.Close("a"))
    assert _take(theirs, 2)[1] == p.Close("a")
    link.close()


async def test_the_end_of_the_keeper_is_told_once_and_ends_what_waits(ends) -> None:
    ours, theirs = ends
    link = KeeperLink(ours)
    lost: list[int] = []
    link.attend(lambda states: None, lambda: lost.append(1))
    waiting = asyncio.create_task(link.listen("a", "127.0.0.1", 1))
    await asyncio.sleep(0)
    theirs.close()
    with pytest.raises(ConnectionError):
        await waiting
    await until(lambda: lost == [1])
    assert not link.alive
    link.send(p.Close("a"))  # goes nowhere
    with pytest.raises(ConnectionError):
        await link.welcome


async def test_a_keeper_is_started_once_and_found_again(tmp_path: Path, reached: Reached) -> None:
    assert reached.fresh
    reached.link.send(p.Listen("agent", "127.0.0.1", 0))
    again = await reach(tmp_path / "run" / "keeper.sock", tmp_path / "keeper.log", {})
    assert (again.pid, again.fresh) == (reached.pid, False)
    held = [state for state in again.states if isinstance(state, p.Held)]
    assert [(one.unit, one.held) for one in held] == [("agent", True)]
    again.link.close()


async def test_a_socket_is_passed_and_outlives_us_with_the_keeper(reached: Reached) -> None:
    sock = await reached.link.listen("agent", "127.0.0.1", 0)
    port = sock.getsockname()[1]
    assert not os.get_inheritable(sock.fileno())
    sock.close()
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT):
        pass


async def test_a_port_in_use_is_refused_with_its_errno(reached: Reached) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        with pytest.raises(OSError, match="in use") as caught:
            await reached.link.listen("agent", "127.0.0.1", stranger.getsockname()[1])
    assert caught.value.errno == errno.EADDRINUSE


async def test_a_keeper_of_another_version_is_refused_and_the_way_out_is_told(
    tmp_path: Path,
) -> None:
    path = tmp_path / "keeper.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        asking = asyncio.create_task(reach(path, tmp_path / "log", {}))
        await asyncio.sleep(0.05)
        with listener.accept()[0] as peer:
            peer.send(encode(p.Welcome(99, 7, 0.0)))
            with pytest.raises(NoKeeper, match=r"atoll down.*atoll up -d"):
                await asking


async def test_a_keeper_that_cannot_start_is_told_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o777)
    (tmp_path / "run").chmod(0o777)
    log = tmp_path / "keeper.log"
    with pytest.raises(NoKeeper, match=str(log)):
        await reach(tmp_path / "run" / "keeper.sock", log, dict(os.environ))


async def test_the_daemons_own_port_moves_with_its_flag(reached: Reached) -> None:
    first = await own_port(Wish("127.0.0.1", 0), reached.link, (), {})
    port = first.sock.getsockname()[1]
    held = p.Held(UNIT, "127.0.0.1", port, held=True)
    second = await own_port(Wish("127.0.0.1", 0), reached.link, (held,), {})
    assert second.sock.getsockname()[1] != port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
    first.close()
    second.close()


async def test_a_keeper_that_nobody_looks_after_is_ended_from_outside(tmp_path: Path) -> None:
    path = tmp_path / "run" / "keeper.sock"
    assert not keepers.lives(path)
    found = await reach(path, tmp_path / "keeper.log", dict(os.environ))
    found.link.close()
    assert keepers.lives(path)
    assert await asyncio.to_thread(keepers.end, path, LIMIT)
    await until(lambda: keepers.reap(found.pid))
    assert not keepers.lives(path)
    assert keepers.end(path, LIMIT), "it is gone already"


async def test_a_keeper_that_lets_connections_queue_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full queue (unix(7)) is waited for on the loop, and told when it lasts."""
    monkeypatch.setattr(keepers, "LIMIT", 0.2)
    path = tmp_path / "keeper.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as first:
            first.connect(str(path))
            with pytest.raises(NoKeeper, match="not up"):
                await reach(path, tmp_path / "log", {})
            assert keepers.lives(path)
            assert not keepers.end(path, 0.2)


async def test_an_error_of_the_system_is_no_keeper(tmp_path: Path) -> None:
    """Whatever connect(2) says beyond "nobody there", the daemon can go on trying."""
    path = tmp_path / ("x" * 300)
    with pytest.raises(NoKeeper, match="out of reach"):
        await reach(path, tmp_path / "log", {})
