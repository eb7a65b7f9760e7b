"""The servers of the benchmarks, as processes, and the client that counts chats."""

import socket
import sys
import threading
from collections.abc import Iterator

import pytest
from benchmarks.chat.client import Wrong, read
from benchmarks.servers import DidNotStart, cores, free_ports, running


def exchanged(port: int, request: bytes, end: bytes) -> bytes:
    """What comes back until those last bytes."""
    data = b""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(request)
        while not data.endswith(end):
            piece = sock.recv(65536)
            assert piece, data
            data += piece
    return data


@pytest.fixture
def model() -> Iterator[int]:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "benchmarks.token_path.upstream", str(port)]
    with running(command, port, cores()[0]):
        yield port


def asked(path: str, body: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/api/chat", b'{"options": {"num_predict": 5000}}', b'"done":false'),
        ("/v1/chat/completions", b'{"max_tokens": 5000}', b'"content":'),
    ],
)
def test_the_floor_passes_every_byte_of_the_model_on(
    model: int, path: str, body: bytes, word: bytes
) -> None:
    """So many tokens as were asked for, of either dialect; more than the buffers hold."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "benchmarks.token_path.floor", str(port), str(model)]
    with running(command, port, cores()[0]):
        passed = exchanged(port, asked(path, body), b"\r\n0\r\n\r\n")
    assert passed.count(word) == 5000
    assert passed == exchanged(model, asked(path, body), b"\r\n0\r\n\r\n")


def test_a_server_that_ends_at_once_is_named_with_its_exit_code() -> None:
    (port,) = free_ports(1)
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(DidNotStart, match="ended with 3"), running(command, port, cores()[0]):
        pass


def test_a_server_that_never_listens_is_given_up_and_ended() -> None:
    (port,) = free_ports(1)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    late = running(command, port, cores()[0], patience=0.2)
    with pytest.raises(DidNotStart, match=r"not there within 0\.2 s"), late:
        pass


def dribble(sock: socket.socket, data: bytes) -> None:
    for n in range(len(data)):
        sock.sendall(data[n : n + 1])


def test_an_answer_counts_only_when_it_is_a_200_and_whole() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        good = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody"
        writer = threading.Thread(target=dribble, args=(theirs, good))
        writer.start()
        read(ours)
        writer.join()
        theirs.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
        with pytest.raises(Wrong, match="404"):
            read(ours)
        theirs.sendall(good[:-1])
        theirs.close()
        with pytest.raises(Wrong, match="before the end"):
            read(ours)
