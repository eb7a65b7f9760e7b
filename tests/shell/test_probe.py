"""Health checks against real servers, good and bad."""

import asyncio
import json
import time
from contextlib import asynccontextmanager, suppress

import pytest

from atoll_supervisor.shell.probe import MAX_ANSWER, Prober

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    """Both loops: the tests run on one, the daemon on the other."""
    return "asyncio", {"use_uvloop": request.param}


class Served:
    """A server that answers each request on a connection with what `answer` gives."""

    def __init__(self, answer):
        self.answer = answer
        self.connections = 0
        self.requests = []
        self.writers = []

    async def __call__(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                data = self.answer(len(self.requests))
                if data is None:
                    break
                writer.write(data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def hang_up(self):
        for writer in self.writers:
            writer.close()


@asynccontextmanager
async def serving(answer, path=None):
    served = Served(answer)
    if path is None:
        server = await asyncio.start_server(served, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
    else:
        server = await asyncio.start_unix_server(served, path)
        address = path
    try:
        yield address, served
    finally:
        served.hang_up()
        server.close()
        await server.wait_closed()


def http(body, status="200 OK", extra=""):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n{extra}\r\n".encode() + data


HEALTHY = http({"status": "healthy", "instance_id": "abc"})


async def probed(answer, instance_id="abc", limit=5.0):
    async with serving(answer) as (address, _):
        prober = Prober(address, instance_id, limit=limit)
        result = await prober.probe()
        prober.close()
        return result


async def test_a_healthy_answer_on_one_kept_connection():
    """Many probes, one connection, and the body is handed on."""
    async with serving(lambda _: HEALTHY) as (address, served):
        prober = Prober(address, "abc")
        results = [await prober.probe() for _ in range(5)]
        prober.close()
    assert all(result.ok for result in results)
    assert results[0].health["status"] == "healthy"
    assert results[0].seconds > 0
    assert served.connections == 1
    assert served.requests[0].startswith(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_a_unix_socket_is_probed_alike(tmp_path):
    """The model host has no port."""
    async with serving(lambda _: http({"status": "ok"}), tmp_path / "s") as (path, _):
        prober = Prober(path)
        assert (await prober.probe()).ok
        prober.close()


async def test_a_foreign_answer_is_a_failure():
    """The right JSON of another instance is not health (faults.md rows 28 and 29)."""
    result = await probed(lambda _: HEALTHY, "other")
    assert not result.ok
    assert "another process answers here" in result.reason
    assert not (await probed(lambda _: http({"status": "healthy"}))).ok


async def test_degraded_is_alive():
    """A unit whose model is away is not restarted for it (DESIGN section 11)."""
    body = {"status": "degraded", "ok": False, "reason": "ollama refused", "instance_id": "abc"}
    result = await probed(lambda _: http(body))
    assert result.ok
    assert result.degraded == "ollama refused"


async def test_chunked_and_closing_answers_are_understood():
    """Any HTTP server may be probed; one that closes is asked on a new connection."""
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (23, b'{"instance_id" : "abc"}')
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    async with serving(lambda _: head + chunk) as (address, served):
        prober = Prober(address, "abc")
        assert [(await prober.probe()).ok for _ in range(2)] == [True, True]
        prober.close()
    assert served.connections == 2


async def test_a_kept_connection_that_was_closed_is_replaced():
    """A server may close idle connections without being called ill."""
    async with serving(lambda _: HEALTHY) as (address, served):
        prober = Prober(address, "abc")
        assert (await prober.probe()).ok
        served.hang_up()
        assert (await prober.probe()).ok
        prober.close()
    assert served.connections == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http(b"nope", "503 Service Unavailable"), "/health answered 503"),
        (http(b"[1]"), "did not answer a JSON object"),
        (http(b"{"), "did not answer a JSON object"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "answered something that is not HTTP"),
        (http(b"x" * (MAX_ANSWER + 1)), f"more than {MAX_ANSWER} bytes"),
        (None, "closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "no answer within 0.3 s"),
    ],
)
async def test_every_fault_is_a_reason(answer, reason):
    """Nothing a server does makes the prober raise."""
    result = await probed(lambda _: answer, limit=0.3)
    assert not result.ok
    assert reason in result.reason


async def test_a_silent_server_is_given_up_in_time():
    """A hanging /health costs the limit and no more (faults.md row 4)."""
    started = time.monotonic()
    result = await probed(lambda _: b"", limit=0.2)
    assert result.reason == "no answer within 0.2 s"
    assert time.monotonic() - started < 5


async def test_nobody_there():
    """A refused connection is a result too."""
    async with serving(lambda _: HEALTHY) as (address, _):
        pass
    result = await Prober(address, "abc").probe()
    assert not result.ok
    assert result.reason


async def test_a_fault_does_not_stick():
    """After a failure the next probe starts afresh."""
    answers = {1: b"garbage\r\n\r\n", 2: HEALTHY}
    async with serving(answers.get) as (address, _):
        prober = Prober(address, "abc")
        assert [(await prober.probe()).ok for _ in range(2)] == [False, True]
        prober.close()


async def test_closing_during_a_probe_keeps_no_connection():
    """A prober that was given up leaves nothing open when its answer comes late."""
    gate = asyncio.Event()

    async def late(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await gate.wait()
        writer.write(HEALTHY)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        done.set()

    done = asyncio.Event()
    server = await asyncio.start_server(late, "127.0.0.1", 0)
    prober = Prober(server.sockets[0].getsockname(), "abc")
    probing = asyncio.ensure_future(prober.probe())
    await asyncio.sleep(0.05)
    prober.close()
    gate.set()
    assert (await probing).ok
    await asyncio.wait_for(done.wait(), 5)
    server.close()
    await server.wait_closed()
