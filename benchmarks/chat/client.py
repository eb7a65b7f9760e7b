"""A client that costs next to nothing: blocking sockets, asked and read by turns.

There is always a question under way on every other connection, so the server
never waits for the client as long as the client is the faster of the two.
"""

import socket
import statistics
import time
from collections.abc import Generator
from contextlib import contextmanager
from itertools import cycle

PATIENCE = 30.0
WARM_UP = 0.3
"""Seconds."""


class Wrong(Exception):
    """A server answered something else than a 200."""


def rate(port: int, request: bytes, connections: int, seconds: float) -> float:
    """Whole answers a second over so many kept connections; raises Wrong or OSError."""
    with lines(port, connections) as socks:
        for sock in socks:
            sock.sendall(request)
        asked_until(socks, request, time.perf_counter() + WARM_UP)
        began = time.perf_counter()
        answered = asked_until(socks, request, began + seconds)
        return answered / (time.perf_counter() - began)


def asked_until(socks: list[socket.socket], request: bytes, until: float) -> int:
    """Read an answer and ask again, one connection after the other; returns how many came."""
    answered = 0
    for sock in cycle(socks):
        read(sock)
        sock.sendall(request)
        answered += 1
        if answered % 64 == 0 and time.perf_counter() > until:
            return answered
    return answered


def p95(port: int, request: bytes, requests: int) -> float:
    """Seconds within which 95 of 100 answers are whole, one after the other."""
    with lines(port, 1) as (sock,):
        took = [_timed(sock, request) for _ in range(requests + requests // 5)]
    return statistics.quantiles(took[-requests:], n=20)[-1]


def _timed(sock: socket.socket, request: bytes) -> float:
    began = time.perf_counter()
    sock.sendall(request)
    read(sock)
    return time.perf_counter() - began


@contextmanager
def lines(port: int, count: int) -> Generator[list[socket.socket]]:
    """Connections that are closed afterwards."""
    socks = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(count)]
    try:
        for sock in socks:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield socks
    finally:
        for sock in socks:
            sock.close()


def read(sock: socket.socket) -> None:
    """Read one answer with a Content-Length; raises Wrong."""
    data = sock.recv(65536)
    while (missing := _missing(data)) != 0:
        more = sock.recv(65536)
        if not more:
            raise Wrong(f"closed {missing} bytes before the end of an answer")
        data += more


def _missing(data: bytes) -> int:
    """How many bytes of the answer have not come; 1 when that is not known yet."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 1
    at = data.find(b"content-length: ", 0, end)
    if at < 0 or not data.startswith(b"HTTP/1.1 200"):
        raise Wrong(data.decode(errors="replace")[:500])
    return end + 4 + int(data[at + 16 : data.find(b"\r", at)]) - len(data)
