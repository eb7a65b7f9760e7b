"""Held sockets on real ports."""

import asyncio
import errno
import os
import socket

import pytest

from atoll.adapters.listening import listen, port_holder, port_of
from atoll_supervisor.shell.sockets import Sockets

pytestmark = pytest.mark.anyio


@pytest.fixture
def sockets():
    made = Sockets()
    yield made
    made.close()


def refuses(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_connections_wait_while_nobody_serves(sockets):
    """A held port accepts connections into its backlog."""
    sock = sockets.hold("a", "127.0.0.1", 0)
    socket.create_connection(("127.0.0.1", port_of(sock)), timeout=5).close()
    assert sockets.get("a") is sock
    assert not os.get_inheritable(sock.fileno())


def test_a_unit_keeps_its_socket(sockets):
    """Holding again the same or any port gives the same socket; another port another one."""
    sock = sockets.hold("a", "127.0.0.1", 0)
    port = port_of(sock)
    assert sockets.hold("a", "127.0.0.1", port) is sock
    assert sockets.hold("a", "127.0.0.1", 0) is sock
    with listen("127.0.0.1", 0) as free:
        other = port_of(free)
    assert port_of(sockets.hold("a", "127.0.0.1", other)) == other
    assert refuses(port)


def test_a_released_port_refuses_at_once(sockets):
    """Even while a copy of the socket is still open somewhere; and it can be bound again."""
    sock = sockets.hold("a", "127.0.0.1", 0)
    port = port_of(sock)
    with socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM):
        sockets.release("a")
        assert refuses(port)
        assert port_of(sockets.hold("a", "127.0.0.1", port)) == port
    assert sockets.get("b") is None
    sockets.release("b")


def test_a_port_in_use_is_an_error_and_its_holder_is_known(sockets):
    """EADDRINUSE, and the pid and name of who has it."""
    with listen("127.0.0.1", 0) as taken:
        with pytest.raises(OSError, match="in use") as caught:
            sockets.hold("a", "127.0.0.1", port_of(taken))
        assert caught.value.errno == errno.EADDRINUSE
        holder = port_holder(port_of(taken))
        port = port_of(taken)
    assert holder is not None
    assert holder.pid == os.getpid()
    assert str(holder) == f"{holder.name} (pid {os.getpid()})"
    assert port_holder(port) is None


def test_a_port_can_be_bound_again_right_after_a_connection(sockets):
    """Connections in TIME_WAIT do not keep a unit from its sticky port."""
    sock = sockets.hold("a", "127.0.0.1", 0)
    sock.setblocking(True)
    port = port_of(sock)
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    served, _ = sock.accept()
    served.close()
    client.close()
    sockets.release("a")
    assert port_of(sockets.hold("a", "127.0.0.1", port)) == port


def test_ipv6(sockets):
    """A host with a colon is an IPv6 address."""
    try:
        sock = sockets.hold("a", "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    assert sock.family == socket.AF_INET6


async def test_accepted_connections_do_not_delay_small_answers(sockets):
    """asyncio sets TCP_NODELAY on them (performance.md, "One more trap")."""
    seen = asyncio.get_running_loop().create_future()

    def accepted(_, writer):
        sock = writer.get_extra_info("socket")
        seen.set_result(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    sock = sockets.hold("a", "127.0.0.1", 0)
    server = await asyncio.start_server(accepted, sock=sock)
    _, writer = await asyncio.open_connection("127.0.0.1", port_of(sock))
    assert await asyncio.wait_for(seen, 5)
    writer.close()
    server.close()
    await server.wait_closed()
