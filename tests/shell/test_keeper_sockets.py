"""Held sockets on real ports."""

import asyncio
import errno
import os
import socket

import pytest

from atoll.adapters.listening import port_holder
from atoll_supervisor.keeper import protocol as p
from atoll_supervisor.keeper.eventloop import Loop
from atoll_supervisor.keeper.sockets import Sockets, listen, port_of
from tests.fakes.keeper import LIMIT, FakeDaemon, KeeperProcess

pytestmark = pytest.mark.anyio


@pytest.fixture
def sockets():
    loop = Loop(print)
    made = Sockets(loop, lambda unit: None)
    yield made
    made.close()
    loop.close()


def hold(sockets, port=0, host="127.0.0.1"):
    sockets.hold("a", host, port)
    assert sockets.state("a").held
    return sockets.get("a")


def refuses(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_connections_wait_while_nobody_serves(sockets):
    """A held port accepts connections into its backlog."""
    sock = hold(sockets)
    socket.create_connection(("127.0.0.1", port_of(sock)), timeout=5).close()
    assert sockets.get("a") is sock
    assert not os.get_inheritable(sock.fileno())


def test_a_unit_keeps_its_socket(sockets):
    """Holding again the same or any port gives the same socket; another port another one."""
    sock = hold(sockets)
    port = port_of(sock)
    assert hold(sockets, port) is sock
    assert hold(sockets) is sock
    with listen("127.0.0.1", 0) as free:
        other = port_of(free)
    assert port_of(hold(sockets, other)) == other
    assert refuses(port)


def test_a_port_that_is_given_up_for_another_is_served_by_who_has_it_until_that_goes(sockets):
    """The process that serves there is told to go when its successor is ready, and not before."""
    sock = hold(sockets)
    port = port_of(sock)
    with listen("127.0.0.1", 0) as free:
        other = port_of(free)
    with socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM) as copy:
        assert port_of(hold(sockets, other)) == other
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            copy.accept()[0].close()
    assert refuses(port)


def test_a_released_port_refuses_at_once(sockets):
    """Even while a copy of the socket is still open somewhere; and it can be bound again."""
    sock = hold(sockets)
    port = port_of(sock)
    with socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM):
        sockets.release("a")
        assert refuses(port)
        assert port_of(hold(sockets, port)) == port
    assert sockets.get("b") is None
    sockets.release("b")


def test_a_port_in_use_is_an_error_and_its_holder_is_known(sockets):
    """EADDRINUSE, and the pid and name of who has it."""
    with listen("127.0.0.1", 0) as taken:
        sockets.hold("a", "127.0.0.1", port_of(taken))
        state = sockets.state("a")
        assert (state.held, state.errno) == (False, errno.EADDRINUSE)
        assert sockets.get("a") is None
        holder = port_holder(port_of(taken))
        port = port_of(taken)
    assert holder is not None
    assert holder.pid == os.getpid()
    assert str(holder) == f"{holder.name} (pid {os.getpid()})"
    assert port_holder(port) is None


def test_a_port_can_be_bound_again_right_after_a_connection(sockets):
    """Connections in TIME_WAIT do not keep a unit from its sticky port."""
    sock = hold(sockets)
    sock.setblocking(True)
    port = port_of(sock)
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    served, _ = sock.accept()
    served.close()
    client.close()
    sockets.release("a")
    assert port_of(hold(sockets, port)) == port


def test_ipv6(sockets):
    """A host with a colon is an IPv6 address."""
    sockets.hold("a", "::1", 0)
    sock = sockets.get("a")
    if sock is None:
        pytest.skip("this machine has no IPv6 loopback")
    assert sock.family == socket.AF_INET6


async def test_accepted_connections_do_not_delay_small_answers(sockets):
    """asyncio sets TCP_NODELAY on them (performance.md, "One more trap")."""
    seen = asyncio.get_running_loop().create_future()

    def accepted(_, writer):
        sock = writer.get_extra_info("socket")
        seen.set_result(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    sock = hold(sockets)
    server = await asyncio.start_server(accepted, sock=sock)
    _, writer = await asyncio.open_connection("127.0.0.1", port_of(sock))
    assert await asyncio.wait_for(seen, 5)
    writer.close()
    server.close()
    await server.wait_closed()


@pytest.fixture
def keeper(tmp_path):
    made = KeeperProcess(tmp_path)
    yield made
    made.end()


@pytest.fixture
def daemon(keeper):
    made = FakeDaemon(keeper)
    yield made
    made.close()


def test_a_port_that_is_taken_is_told_with_its_errno(daemon):
    """And so is a host that is none of ours; the socket can be had later."""
    with listen("127.0.0.1", 0) as taken:
        port = port_of(taken)
        held = daemon.listen("unit", port)
        assert (held.held, held.errno, held.port) == (False, errno.EADDRINUSE, port)
    assert daemon.listen("unit", port).held
    assert daemon.listen("other", 0, "192.0.2.1").errno == errno.EADDRNOTAVAIL
    assert daemon.listen("third", 0, "no such host").errno == errno.EADDRNOTAVAIL
    assert daemon.listen("fourth", 70_000).errno == errno.EINVAL


def test_a_closed_socket_refuses_and_is_told(daemon):
    """Held until Close, refused after."""
    port = daemon.listen("unit").port
    assert not refuses(port)
    daemon.send(p.Close("unit"))
    daemon.until(lambda: not daemon.held["unit"].held)
    assert refuses(port)


def test_a_waiting_client_is_told_once(daemon):
    """Watch says when somebody comes; a launch that listens takes it back."""
    port = daemon.listen("unit").port
    daemon.send(p.Watch("unit"))
    daemon.send(p.Pass("unit"))
    daemon.until(lambda: daemon.passed)
    assert not daemon.held["unit"].waiting
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as client:
        daemon.until(lambda: daemon.held["unit"].waiting)
        client.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        daemon.launch("unit", "--serve", listen=True)
        daemon.until(lambda: not daemon.held["unit"].waiting)
        assert client.recv(4096)
    told = [state.waiting for state in daemon.heard if isinstance(state, p.Held)]
    assert told.count(True) == 1


def test_a_client_that_waited_while_no_daemon_was_there_is_told_to_the_next(keeper):
    """What was watched stays watched."""
    first = FakeDaemon(keeper)
    port = first.listen("unit").port
    first.send(p.Watch("unit"))
    first.send(p.Pass("unit"))
    first.until(lambda: first.passed)
    first.close()
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT):
        second = FakeDaemon(keeper)
        second.until(lambda: second.held["unit"].waiting)
        second.close()


def test_a_passed_socket_is_the_held_one(daemon):
    """The daemon's own port is held this way: it accepts what came to the keeper's socket."""
    port = daemon.listen("api").port
    daemon.send(p.Pass("api"))
    daemon.until(lambda: daemon.passed)
    copy = daemon.passed[0]
    assert copy.getsockname() == ("127.0.0.1", port)
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT):
        copy.settimeout(LIMIT)
        copy.accept()[0].close()


def test_passing_what_is_not_held_tells_so(daemon):
    """Without a descriptor."""
    daemon.send(p.Pass("nobody"))
    daemon.until(lambda: "nobody" in daemon.held)
    assert not daemon.held["nobody"].held
    assert not daemon.passed
