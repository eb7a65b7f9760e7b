"""A WebSocket's bounds, spoken to with raw frames: what a library would never send."""

import base64
import logging
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from atoll.http.protocol import Limits
from atoll.http.serving import MAX_WEBSOCKET_MESSAGE
from atoll.http.websocket import MOST_FRAGMENTS
from tests.fakes.daemon import eventually
from tests.fakes.ports import FakeModel, text
from tests.fakes.serving import EndlessModel, Served, read_all, serving
from tests.fakes.talker import talking

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1 = 0x40
LIMIT = 20
HANDSHAKE = (
    "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n{more}\r\n"
)
KEY = base64.b64encode(bytes(16)).decode()


@pytest.fixture
def model() -> FakeModel:
    return FakeModel(text("a"))


@pytest.fixture
def served(model: FakeModel, tmp_path: Path) -> Iterator[Served]:
    with serving(model, tmp_path) as served:
        yield served


def handshake(method="GET", path="/ws/chat", version="13", key=KEY, more="") -> bytes:
    told = HANDSHAKE.format(method=method, path=path, version=version, key=key, more=more)
    return told.encode()


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, masked: bool = True) -> bytes:
    """One frame as a client sends it; the mask is of zeros, which changes nothing."""
    return head(opcode, len(data), fin=fin, masked=masked) + data


def head(opcode: int, size: int, *, fin: bool = True, masked: bool = True) -> bytes:
    """What stands before the data."""
    mask = 0x80 if masked else 0
    first = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        first += bytes([mask | size])
    elif size < 65536:
        first += bytes([mask | 126]) + struct.pack("!H", size)
    else:
        first += bytes([mask | 127]) + struct.pack("!Q", size)
    return first + (bytes(4) if masked else b"")


@contextmanager
def opened(served: Served) -> Iterator[socket.socket]:
    """A connection after its handshake."""
    with served.connect() as sock:
        sock.settimeout(LIMIT)
        sock.sendall(handshake())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(1)
        assert b" 101 " in answer.splitlines()[0]
        yield sock


def closed_with(sock: socket.socket) -> int:
    """The code of the close frame that comes, whatever is said before."""
    rest = read_all(sock)
    while rest:
        opcode, size, at = rest[0] & 15, rest[1], 2
        if size == 126:
            (size,), at = struct.unpack("!H", rest[2:4]), 4
        if opcode == CLOSE:
            return int.from_bytes(rest[at : at + 2])
        rest = rest[at + size :]
    return 1006


def alive(served: Served) -> bool:
    return httpx.get(f"{served.url}/health").status_code == 200


# Frames that are wrong


WRONG = {
    "too large": (lambda: frame(TEXT, b"x" * (MAX_WEBSOCKET_MESSAGE + 1)), 1009),
    "announces 100 MiB": (lambda: head(TEXT, 100 * MAX_WEBSOCKET_MESSAGE), 1009),
    "announces 2^63": (lambda: head(TEXT, 2**63 - 1), 1009),
    "too large in two": (
        lambda: frame(TEXT, b"x" * 600_000, fin=False) + frame(CONT, b"x" * 600_000),
        1009,
    ),
    "empty fragments": (
        lambda: frame(TEXT, fin=False) + frame(CONT, fin=False) * 2 * MOST_FRAGMENTS,
        1009,
    ),
    "no UTF-8": (lambda: frame(TEXT, b"\xff\xfe"), 1007),
    "half a character": (lambda: frame(TEXT, b"\xe2\x82", fin=False) + frame(CONT, b"\x28"), 1007),
    "without a mask": (lambda: frame(TEXT, b"{}", masked=False), 1002),
    "compressed": (lambda: frame(TEXT | RSV1, b"{}"), 1002),
    "unknown opcode": (lambda: frame(3, b"{}"), 1002),
    "end without a beginning": (lambda: frame(CONT, b"{}"), 1002),
    "long ping": (lambda: frame(PING, b"x" * 126), 1002),
    "ping in pieces": (lambda: frame(PING, fin=False), 1002),
    "short close": (lambda: frame(CLOSE, b"\x00"), 1002),
    "HTTP": (lambda: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 1002),
    "noise": (lambda: Random(7).randbytes(16 * 1024), 1002),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_frame_ends_the_connection_with_its_code_and_no_word_in_the_log(
    served: Served, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, code = WRONG[name]
    frames = make()
    with caplog.at_level(logging.WARNING), opened(served) as sock:
        with suppress(OSError):  # whoever is refused early may be gone by now
            sock.sendall(frames)
            sock.shutdown(socket.SHUT_WR)
        assert closed_with(sock) == code
    assert caplog.records == []
    assert alive(served)


def test_the_largest_message_is_taken(served: Served, model: FakeModel) -> None:
    content = "x" * (MAX_WEBSOCKET_MESSAGE - 100)
    with talking(served) as talker:
        talker.say(content)
        talker.until("final", "error")
    assert model.requests[0].messages[-1].content == content


def test_what_comes_after_a_fault_is_not_heard(
    served: Served, model: FakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    after = frame(PING) + frame(TEXT, b'{"content":"hi"}') * 10
    with opened(served) as sock:
        sock.sendall(frame(TEXT, b"\xff") + after)
        assert closed_with(sock) == 1007
    assert model.requests == []
    assert caplog.records == []


def test_a_fault_ends_the_turn_that_streams(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served, opened(served) as sock:
        sock.sendall(frame(TEXT, b'{"content":"go"}'))
        eventually(lambda: model.requests)
        sock.sendall(frame(3))
        assert closed_with(sock) == 1002
        assert model.stopped.wait(LIMIT)


# Floods


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG])
def test_a_flood_of_frames_ends_nothing_but_its_connection(served: Served, opcode: int) -> None:
    with opened(served) as sock:
        with suppress(OSError):
            for _ in range(100):
                sock.sendall(frame(opcode) * 10_000)
        assert closed_with(sock) in (1006, 1008)
    assert alive(served)


def test_frames_that_ask_for_nothing_are_read_and_forgotten(served: Served) -> None:
    with opened(served) as sock:
        sock.sendall(frame(TEXT, b'{"type":"cancel"}') * 1000)
        sock.sendall(frame(PONG, b"never asked for") * 1000)
        sock.sendall(frame(TEXT, b"{}"))
        assert b"needs a `content`" in sock.recv(65536)


def test_a_flood_of_pings_that_nobody_reads_fills_no_memory(tmp_path: Path) -> None:
    limits = Limits(write_timeout=1000.0)
    with serving(FakeModel(), tmp_path, limits=limits) as served, opened(served) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(1000):
            sock.sendall(frame(PING, b"x" * 125) * 100)
        (connection,) = served.server._server.server_state.connections
        beneath: Any = connection.transport
        buffered = beneath._transport.get_write_buffer_size()
    assert buffered < 1024 * 1024


# Clients that do not read, do not answer, do not say good-bye


def test_a_client_that_never_reads_is_dropped_and_its_turn_ends(tmp_path: Path) -> None:
    model = EndlessModel("x" * 100_000)
    limits = Limits(write_timeout=0.5)
    with serving(model, tmp_path, limits=limits) as served, opened(served) as sock:
        sock.sendall(frame(TEXT, b'{"content":"go"}'))
        assert model.stopped.wait(LIMIT)
        eventually(lambda: not served.server._server.server_state.connections)


def test_a_client_that_answers_no_ping_is_left(tmp_path: Path) -> None:
    limits = Limits(ping_interval=0.1, ping_timeout=0.2)
    with serving(FakeModel(), tmp_path, limits=limits) as served, opened(served) as sock:
        assert closed_with(sock) == 1011
        eventually(lambda: not served.server._server.server_state.tasks)


def test_a_client_that_answers_no_ping_and_reads_nothing_is_dropped(tmp_path: Path) -> None:
    model = EndlessModel("x" * 100_000)
    limits = Limits(ping_interval=0.3, ping_timeout=0.3, linger=0.1, write_timeout=1000.0)
    with serving(model, tmp_path, limits=limits) as served, opened(served) as sock:
        sock.sendall(frame(TEXT, b'{"content":"go"}'))
        assert model.stopped.wait(LIMIT)
        eventually(lambda: not served.server._server.server_state.connections)


def test_a_client_that_answers_pings_stays(tmp_path: Path) -> None:
    limits = Limits(ping_interval=0.05, ping_timeout=10.0)
    with serving(FakeModel(text("a")), tmp_path, limits=limits) as served, opened(served) as sock:
        for _ in range(5):
            ping = sock.recv(6, socket.MSG_WAITALL)
            assert ping[:2] == bytes([0x80 | PING, 4])
            sock.sendall(frame(PONG, ping[2:]))
        sock.sendall(frame(TEXT, b'{"content":"go"}') + frame(CLOSE, b"\x03\xe8"))
        assert closed_with(sock) == 1000


def test_a_client_that_does_not_answer_a_close_is_dropped(tmp_path: Path) -> None:
    limits = Limits(linger=0.1)
    with serving(FakeModel(), tmp_path, limits=limits) as served, opened(served) as sock:
        sock.sendall(frame(BINARY, b"x"))
        assert closed_with(sock) == 1003
        eventually(lambda: not served.server._server.server_state.connections)


# Handshakes


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (handshake(method="POST"), b"405"),
        (handshake(key="short"), b"400"),
        (handshake(version="12"), b"400"),
        (handshake(more=f"X: {'x' * 9000}\r\n"), b"431"),
        (handshake(path=f"/ws/chat?{'x' * 9000}"), b"414"),
        (handshake(more="Host: other\r\n"), b"400"),
        (handshake().replace(b"Host: localhost", b"Host: evil.example"), b"403"),
        (handshake(more="Origin: http://evil.example\r\n"), b"403"),
        (handshake(more="Content-Length: 3\r\n") + b"abc", None),
    ],
)
def test_a_wrong_handshake_is_refused_and_its_connection_closed(
    served: Served, request_: bytes, status: bytes | None
) -> None:
    with served.connect() as sock:
        sock.settimeout(LIMIT)
        sock.sendall(request_)
        sock.shutdown(socket.SHUT_WR)
        answer = read_all(sock)
    assert status is None or answer.split()[1] == status
    assert alive(served)
    eventually(lambda: not served.server._server.server_state.connections)


def test_an_upgrade_behind_a_request_under_way_is_refused(tmp_path: Path) -> None:
    """Two answers on one connection would be each other's garbage."""
    body = b'{"model":"llama2","prompt":"go"}'
    first = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    model = EndlessModel()
    with serving(model, tmp_path) as served, served.connect() as sock:
        sock.settimeout(LIMIT)
        sock.sendall(first + body + handshake())
        assert b" 101 " not in read_all(sock)
        eventually(lambda: not served.agent.in_flight)


def test_an_upgrade_after_an_answer_is_served(served: Served) -> None:
    with served.connect() as sock:
        sock.settimeout(LIMIT)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"Ollama is running" in sock.recv(65536)
        sock.sendall(handshake())
        assert b" 101 " in sock.recv(65536)


def test_the_package_is_imported_by_the_first_upgrade(tmp_path: Path) -> None:
    """An agent that nobody speaks WebSocket to does not pay for it."""
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.fakes.ports import FakeModel; from tests.fakes.serving import serving\n"
        "import tests.shell.test_websocket as own\n"
        "for name in [n for n in sys.modules if n.startswith(('websockets', 'uvicorn.protocols.w',"
        " 'atoll.http.websocket'))]: del sys.modules[name]\n"
        "with serving(FakeModel(), Path(sys.argv[1])) as served:\n"
        "    own.alive(served)\n"
        "    before = 'websockets' in sys.modules\n"
        "    with own.opened(served): print(before, 'websockets' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.stdout.split() == ["False", "True"], done.stderr
