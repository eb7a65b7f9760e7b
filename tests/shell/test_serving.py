"""The server on a given socket: nothing is lost when it leaves, and it always leaves in time."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from atoll.http.sockets import BindFailed, bind, inherited
from tests.fakes.ports import FakeModel, text
from tests.fakes.relay import replaced_under_load
from tests.fakes.serving import EndlessModel, Served, read_all, read_answer, serving

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def generate(served: Served) -> socket.socket:
    body = json.dumps({"model": "llama2", "prompt": "go"}).encode()
    sock = served.connect()
    head = f"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    sock.sendall(head.encode() + body)
    return sock


def test_a_stream_in_flight_is_finished(tmp_path: Path) -> None:
    class Slow(FakeModel):
        async def stream(self, request):
            import asyncio

            async for chunk in super().stream(request):
                await asyncio.sleep(0.05)
                yield chunk

    with serving(Slow(text(*"abcdefghij")), tmp_path) as served, generate(served) as sock:
        first = sock.recv(65536)
        served.leave()
        answer = first + read_all(sock)
    assert b'"done":true' in answer
    assert answer.endswith(b"0\r\n\r\n")


def test_a_kept_connection_may_send_a_last_request_and_is_told_to_close(tmp_path: Path) -> None:
    with serving(FakeModel(), tmp_path) as served, served.connect() as sock:
        sock.sendall(GET)
        assert b"connection: close" not in read_answer(sock)
        served.leave()
        with pytest.raises(ConnectionRefusedError):
            connect_until_refused(served.port)
        sock.sendall(GET)
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer


def connect_until_refused(port: int) -> None:
    limit = time.monotonic() + 5
    while time.monotonic() < limit:
        with suppress(ConnectionResetError):  # it came between the last accept and the close
            socket.create_connection(("127.0.0.1", port), 5).close()
        time.sleep(0.01)


def test_an_idle_server_leaves_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    with serving(FakeModel(), tmp_path) as served:
        served.leave()
    assert time.monotonic() - began < 5


def test_an_endless_stream_is_cut_at_the_stop_timeout(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path, stop_timeout=0.3) as served, generate(served) as sock:
        sock.recv(65536)
        served.leave()
        read_all(sock)
        assert model.stopped.wait(5)


def test_a_second_order_does_not_wait_any_longer(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path, stop_timeout=1000) as served, generate(served) as sock:
        sock.recv(65536)
        served.leave()
        served.leave()
        read_all(sock)
        assert model.stopped.wait(5)


def test_two_servers_share_a_held_socket_and_no_request_is_lost(tmp_path: Path) -> None:
    """Make-before-break: the successor accepts from the same socket while the old one leaves."""
    failures, answered = replaced_under_load(tmp_path)
    assert failures == []
    assert answered > 100


def test_accepted_connections_have_no_delay(tmp_path: Path) -> None:
    sock = bind("127.0.0.1", 0)
    assert sock.proto == socket.IPPROTO_TCP
    sock.close()


def test_a_port_in_use_names_its_holder_and_the_way_out() -> None:
    with bind("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        with pytest.raises(BindFailed) as caught:
            bind("127.0.0.1", port)
    told = str(caught.value)
    assert f"port {port} is in use by " in told
    assert f"(pid {os.getpid()}); choose another with --port" in told


def test_a_host_that_does_not_exist_is_named() -> None:
    with pytest.raises(BindFailed, match=r"no\.such\.host\.invalid"):
        bind("no.such.host.invalid", 0)


def test_nothing_is_inherited_without_the_protocol() -> None:
    assert inherited({}, 1) is None
    assert inherited({"LISTEN_FDS": "0", "LISTEN_PID": "1"}, 1) is None
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": "99", "LISTEN_FDNAMES": "api"}
    assert inherited(environ, 1) is None
    assert environ == {}


@pytest.mark.parametrize("supervised", [True, False])
def test_a_socket_is_inherited_at_number_3(supervised: bool) -> None:
    code = (
        "import os,sys;from atoll.http.sockets import inherited;"
        "e=dict(os.environ);p=e.pop('WITH_PID','');"
        "e.update(LISTEN_PID=str(os.getpid())) if p else None;"
        "s=inherited(e,os.getpid());"
        "print(s.getsockname()[1], s.proto, s.get_inheritable(), 'LISTEN_FDS' in e)"
    )
    with bind("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        extra = {"ATOLL_SUPERVISED": "1"} if supervised else {"WITH_PID": "1"}
        path = os.pathsep.join(sys.path)
        launcher = "import os,sys;os.dup2(int(sys.argv[1]),3);os.execv(sys.argv[2],sys.argv[2:])"
        done = subprocess.run(
            [sys.executable, "-c", launcher, str(held.fileno()), sys.executable, "-c", code],
            env={"PYTHONPATH": path, "LISTEN_FDS": "1", **extra},
            pass_fds=[held.fileno()],
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.stdout.split() == [str(port), "6", "False", "False"], done.stderr


@pytest.mark.parametrize(
    ("open_it", "words"),
    [
        ("os.close(3)", "LISTEN_FDS names descriptor 3: "),
        ("os.dup2(os.open('/dev/null', 0), 3)", "LISTEN_FDS names descriptor 3: "),
        ("s = socket.socket(socket.AF_UNIX); os.dup2(s.fileno(), 3)", "no listening TCP socket"),
        ("s = socket.socket(); os.dup2(s.fileno(), 3)", "no listening TCP socket"),
    ],
)
def test_a_wrong_descriptor_is_refused_with_words(open_it: str, words: str) -> None:
    code = (
        "import os, socket\n"
        "os.dup2(0, 3)\n"
        f"{open_it}\n"
        "from atoll.http.sockets import BindFailed, inherited\n"
        "try:\n"
        "    inherited({'ATOLL_SUPERVISED': '1', 'LISTEN_FDS': '1'}, os.getpid())\n"
        "except BindFailed as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert words in done.stdout


def test_more_sockets_than_one_are_refused() -> None:
    with pytest.raises(BindFailed, match="an agent serves one"):
        inherited({"ATOLL_SUPERVISED": "1", "LISTEN_FDS": "2"}, 1)
