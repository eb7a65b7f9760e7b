"""Webhooks are told what happened, signed, until they have heard, and are trusted with nothing."""

import asyncio
import contextlib
import gc
import hashlib
import hmac
import socket
import threading
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
from msgspec.structs import replace

from atoll_supervisor.core.runs.events import CancelAsked
from atoll_supervisor.core.runs.hooks import address_fault, signature_of, webhook_fault
from atoll_supervisor.core.runs.machine import accepted, step
from atoll_supervisor.core.runs.records import Run, Webhook
from atoll_supervisor.core.runs.view import body_of
from atoll_supervisor.loop.run_hooks import Hooks
from atoll_supervisor.shell.database_thread import DatabaseThread
from atoll_supervisor.shell.run_store import RunStore
from atoll_supervisor.shell.webhook import Messenger
from tests.fakes.roles import finding, plan, role

pytestmark = pytest.mark.anyio


class Ear:
    """A server that answers each request with the next of its answers, the last for ever."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        self.heard.append(head + await reader.readexactly(length))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer:
            writer.write(answer)
            writer.close()
        else:  # never
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()


OK = b"HTTP/1.1 204 No Content\r\n\r\n"
FAILS = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
MOVED = b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\nxxx"


@contextlib.asynccontextmanager
async def listening(*answers: bytes) -> AsyncIterator[tuple[Ear, str]]:
    ear = Ear(*answers)
    server = await asyncio.start_server(ear.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield ear, f"http://127.0.0.1:{port}/hook"
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def messenger(limit: float = 10.0) -> AsyncIterator[Messenger]:
    made = Messenger(limit)
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [(OK, ""), (ENDLESS, ""), (FAILS, "it answered 500"), (MOVED, "it answered 307")],
)
async def test_a_webhook_is_told_once_and_only_a_2xx_is_a_yes(answer: bytes, words: str) -> None:
    async with listening(answer) as (ear, url), messenger() as made:
        assert await made.post(Webhook(url, "key"), b'{"a": 1}', "r1") == words
    (heard,) = ear.heard
    digest = hmac.new(b"key", b'{"a": 1}', hashlib.sha256).hexdigest()
    assert f"X-Atoll-Signature: sha256={digest}".lower() in heard.decode().lower()
    assert heard.startswith(b"POST /hook HTTP/1.1\r\n")
    assert heard.endswith(b'{"a": 1}')


async def test_one_that_never_answers_is_left(tmp_path: Path) -> None:
    async with listening(b"") as (_, url), messenger(0.2) as made:
        assert await made.post(Webhook(url), b"{}", "r1") == "it did not answer within 0.2 s"


async def test_one_that_is_not_there_is_no_fault_of_ours() -> None:
    async with messenger() as made:
        said = await made.post(Webhook("http://127.0.0.1:1/x"), b"{}", "r1")
        assert said == "it cannot be reached (ConnectError)"


@pytest.mark.parametrize(
    ("address", "private", "served"),
    [
        ("127.0.0.1", "", "this machine"),
        ("127.8.8.8", "", "this machine"),
        ("::1", "", "this machine"),
        ("::ffff:127.0.0.1", "", "this machine"),
        ("0.0.0.0", "", "this machine"),
        ("::", "", "this machine"),
        ("169.254.169.254", "link-local", "link-local"),
        ("::ffff:169.254.169.254", "link-local", "link-local"),
        ("fe80::1%eth0", "link-local", "link-local"),
        ("fd00:ec2::254", "link-local", "link-local"),
        ("224.0.0.1", "one machine", "one machine"),
        ("10.0.0.7", "", ""),
        ("192.0.2.1", "", ""),
        ("2001:db8::1", "", ""),
    ],
)
def test_which_addresses_are_told_nothing(address: str, private: str, served: str) -> None:
    for words, serves_others in ((private, False), (served, True)):
        said = address_fault(address, serves_others=serves_others)
        assert words in said
        assert bool(words) == bool(said)


@pytest.mark.parametrize("host", ["169.254.169.254", "0xa9fea9fe", "[fe80::1]", "224.0.0.1"])
async def test_an_address_that_can_never_be_told_is_refused_at_once(host: str) -> None:
    assert Messenger().refusal(Webhook(f"http://{host}/"))


async def test_this_machine_is_refused_at_once_only_while_it_serves_others() -> None:
    """A name is judged when it is told."""
    for host, word in (("127.0.0.1", "this machine"), ("localhost", ""), ("h.invalid", "")):
        assert word in Messenger(serves_others=True).refusal(Webhook(f"http://{host}/"))
        assert Messenger().refusal(Webhook(f"http://{host}/")) == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1"])
async def test_strangers_cannot_reach_this_machine_whatever_they_call_it(host: str) -> None:
    """Numbers are written in many ways, and any name may stand for them."""
    async with listening(OK) as (ear, url):
        made = Messenger(serves_others=True)
        said = await made.post(Webhook(url.replace("127.0.0.1", host)), b"{}", "r1")
        await made.close()
    assert "this machine" in said
    assert ear.heard == []


async def test_a_name_is_told_by_its_address_under_its_name() -> None:
    async with listening(OK) as (ear, url), messenger() as made:
        named = url.replace("127.0.0.1", "localhost")
        assert await made.post(Webhook(named), b"{}", "r1") == ""
    port = url.split(":")[2].split("/")[0]
    assert f"host: localhost:{port}\r\n".encode() in ear.heard[0].lower()


async def test_over_https_the_name_and_not_the_address_has_to_be_proved() -> None:
    """What is asked of the server in its ClientHello (RFC 6066) is what its certificate is for."""
    hello = asyncio.get_running_loop().create_future()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello.set_result(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(read, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, messenger() as made:
        said = await made.post(Webhook(f"https://localhost:{port}/x"), b"{}", "r1")
        assert b"localhost" in await hello
    assert "cannot be reached" in said


async def test_no_proxy_of_the_environment_is_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be told of strangers' addresses, and look their names up again."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with listening(OK) as (_, url), messenger() as made:
        assert await made.post(Webhook(url), b"{}", "r1") == ""


async def test_a_host_that_nobody_knows_is_told_so() -> None:
    async with messenger() as made:
        said = await made.post(Webhook("http://nobody.invalid/x"), b"{}", "r1")
        assert said == "nobody knows an address of its host"


async def test_names_that_nobody_answers_for_hold_up_no_other_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The threads of the loop are few: the daemon's own files are read and written on them."""
    answered = threading.Event()

    def silent(*_: object, **__: object) -> NoReturn:
        answered.wait(20)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    async with messenger() as made:
        one = Webhook("http://silent.example/")
        asked = [asyncio.create_task(made.post(one, b"{}", "r1")) for _ in range(40)]
        await asyncio.sleep(0)  # each has begun
        await asyncio.to_thread(answered.set)
        said = await asyncio.gather(*asked)
    assert set(said) == {"nobody knows an address of its host"}


async def test_without_a_secret_nothing_is_signed() -> None:
    async with listening(OK) as (ear, url), messenger() as made:
        await made.post(Webhook(url), b"{}", "r1")
    assert b"signature" not in ear.heard[0].lower()


def test_the_signature_is_that_of_rfc_2104() -> None:
    """Test case 2 of RFC 4231."""
    assert signature_of("Jefe", b"what do ya want for nothing?") == (
        "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )


@pytest.mark.parametrize(
    "url",
    [
        "file:///x",
        "http://",
        "http://u:p@h/",
        "https://h:0/",
        "http://h:99999/",
        "http://h/a b",
        "",
    ],
)
def test_what_is_no_address_for_a_webhook_is_named(url: str) -> None:
    assert webhook_fault(Webhook(url)).startswith("webhook.url")


def test_http_and_https_are_addresses() -> None:
    assert webhook_fault(Webhook("https://hooks.example/x?y=1")) == ""
    assert webhook_fault(Webhook("http://[::1]:8080/")) == ""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RunStore]:
    disk = DatabaseThread(tmp_path / "atoll.db")
    yield RunStore(disk)
    await disk.close(5)


async def ended(store: RunStore, url: str, query: str = "hi", run_id: str = "r1") -> Run:
    wanted = plan(webhook=Webhook(url, "key"), inputs={"query": query})
    begun = accepted(replace(wanted, run_id=run_id))
    await store.accept([begun])
    out = step(begun.run, CancelAsked(2.0), finding(role("a")))
    await store.save(out.run, out.told, out.told)
    return out.run


async def until_heard(store: RunStore) -> None:
    async with asyncio.timeout(10):
        while await store.untold():
            await asyncio.sleep(0.01)


async def test_it_is_told_again_until_it_has_heard(store: RunStore) -> None:
    async with listening(FAILS, MOVED, OK) as (ear, url):
        hooks = Hooks(store, Messenger(), waits=(0.01,) * 5)
        run = await ended(store, url)
        hooks.tell(run)
        await until_heard(store)
        await hooks.close()
    assert len(ear.heard) == 3
    told = msgspec.json.encode(body_of(run))
    assert all(one.endswith(told) for one in ear.heard)


async def test_the_next_daemon_tells_what_this_one_could_not(store: RunStore) -> None:
    async with listening(FAILS, OK) as (ear, url):
        first = Hooks(store, Messenger(), waits=(600.0,))
        first.tell(await ended(store, url))
        await heard_once(ear)
        await first.close()
        second = Hooks(store, Messenger())
        await second.take_up()
        await until_heard(store)
        await second.close()
    assert len(ear.heard) == 2


async def heard_once(ear: Ear) -> None:
    async with asyncio.timeout(10):
        while not ear.heard:
            await asyncio.sleep(0.01)


async def test_a_run_that_waits_for_its_webhook_is_not_in_the_memory(store: RunStore) -> None:
    """It is tried for more than an hour: runs that strangers start would pile up."""
    tracemalloc.start()
    try:
        async with listening(FAILS) as (ear, url):
            hooks = Hooks(store, Messenger(), waits=(600.0,))
            hooks.tell(await ended(store, url, query="x" * 8_000_000))
            await heard_once(ear)
            async with asyncio.timeout(20):
                while tracemalloc.get_traced_memory()[0] >= 8_000_000:
                    gc.collect()
                    await asyncio.sleep(0.01)
            await hooks.close()
    finally:
        tracemalloc.stop()


async def test_nobody_is_told_of_a_run_that_was_deleted_meanwhile(store: RunStore) -> None:
    async with listening(OK) as (ear, url):
        hooks = Hooks(store, Messenger())
        gone, there = [await ended(store, url, run_id=name) for name in ("gone", "there")]
        assert await store.delete("gone")
        hooks.tell(gone)
        hooks.tell(there)
        await until_heard(store)
        await hooks.close()
    (heard,) = ear.heard
    assert b"X-Atoll-Run: there\r\n" in heard


async def test_it_is_given_up_at_last(store: RunStore) -> None:
    async with listening(FAILS) as (ear, url):
        hooks = Hooks(store, Messenger(), waits=(0.01, 0.01))
        hooks.tell(await ended(store, url))
        await until_heard(store)
        await hooks.close()
    assert len(ear.heard) == 3
