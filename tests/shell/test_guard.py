"""Strangers stay out: Host, Origin, Content-Type and size, over raw sockets."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from atoll.config.loopback import is_loopback
from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Manifest, Server
from atoll.http.guard import Guard, GuardRules
from atoll.http.origins import host_allowed, host_name, judge_origin
from tests.fakes.ports import FakeModel, text
from tests.fakes.serving import Served, serving

ORIGIN = "http://localhost:3000"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Server(allowed_hosts=("box.lan",), allowed_origins=("https://ui.example",))
    manifest = Manifest(agent=AgentTable(name="GhidraAgent"), server=server)
    with serving(FakeModel(*[text("hi")] * 3), tmp_path, manifest=manifest) as served:
        yield served


def get(served: Served, path: str = "/api/tags", **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(served.url + path, headers=named, timeout=10)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8100",
        "localhost.:80",
        "127.0.0.1:8100",
        "[::1]:8100",
        "app.localhost",
        "thismachine",
        "192.168.1.7:8100",
        "box.lan:8100",
    ],
)
def test_a_host_of_this_machine_passes(served: Served, host: str) -> None:
    assert get(served, Host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "8.8.8.8",
        "a@localhost",
        "localhost:99999999",
        "[::1",
        "",
    ],
)
def test_another_host_is_refused_and_the_setting_named(served: Served, host: str) -> None:
    answer = get(served, Host=host)
    assert answer.status_code == 403
    assert "[server] allowed_hosts" in answer.json()["error"]


@pytest.mark.parametrize(
    ("rules", "headers", "words"),
    [
        (
            {"hosts_setting": "[daemon] x"},
            {"host": "evil.example"},
            'add "evil.example" to [daemon] x',
        ),
        (
            {"origins_setting": "[daemon] y"},
            {"origin": "http://evil.example"},
            "add it to [daemon] y",
        ),
        (
            {"same_origin_only": True},
            {"origin": "http://evil.example"},
            "management accepts its own origin only",
        ),
    ],
)
def test_a_refusal_names_the_settings_of_the_server_it_comes_from(
    anyio_backend, rules: dict[str, object], headers: dict[str, str], words: str
) -> None:
    import anyio

    sent: list[dict[str, object]] = []

    async def app(scope, receive, send):
        raise AssertionError("reached the application")

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    given = {"host": "localhost"} | headers
    pairs = [(name.encode(), value.encode()) for name, value in given.items()]
    scope = {"type": "http", "method": "GET", "path": "/health", "headers": pairs}
    anyio.run(Guard(app, GuardRules(bind_host="127.0.0.1", **rules)), scope, receive, send)
    assert sent[0]["status"] == 403
    assert words in json.loads(sent[1]["body"])["detail"]


def test_beyond_loopback_every_host_passes() -> None:
    assert host_allowed("evil.example", bind_host="0.0.0.0", machine="m", allowed=())
    assert not host_allowed("", bind_host="0.0.0.0", machine="m", allowed=())


@pytest.mark.parametrize(
    "origin",
    [
        ORIGIN,
        "https://127.0.0.1",
        "http://0.0.0.0:1",
        "app://x",
        "file://",
        "tauri://localhost",
        "vscode-webview://id",
        "https://ui.example",
    ],
)
def test_f2_an_allowed_page_gets_cors_headers(served: Served, origin: str) -> None:
    answer = get(served, Origin=origin)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://localhost.evil.example",
        "http://localhost:3000.evil.example",
        "https://127.0.0.1.evil.example",
        "http://localhost@evil.example",
    ],
)
def test_f3_a_strangers_page_gets_403_without_a_body(served: Served, origin: str) -> None:
    answer = get(served, Origin=origin)
    assert (answer.status_code, answer.content) == (403, b"")
    assert "access-control-allow-origin" not in answer.headers
    assert "allowed_origins" in answer.headers["x-atoll-refused"]


def test_two_origins_are_refused(served: Served) -> None:
    twice = b"Origin: http://localhost\r\n" * 2
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + twice + b"\r\n"
    assert served.raw(head).startswith(b"HTTP/1.1 403 ")


def test_the_servers_own_page_needs_no_cors(served: Served) -> None:
    answer = get(served, Origin=served.url)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_without_an_origin_nothing_is_added(served: Served) -> None:
    assert "access-control-allow-origin" not in get(served).headers


def test_f4_a_preflight_is_answered_as_ollama_does(served: Served) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    answer = requests.options(f"{served.url}/api/chat", headers=headers, timeout=10)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-max-age"] == "43200"
    assert "DELETE" in answer.headers["access-control-allow-methods"]
    assert "x-stainless-os" in answer.headers["access-control-allow-headers"]
    stranger = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    refused = requests.options(f"{served.url}/api/chat", headers=stranger, timeout=10)
    assert refused.status_code == 403


@pytest.mark.parametrize(
    ("path", "origin", "kind", "status"),
    [
        ("/api/generate", None, "text/plain", 200),
        ("/api/generate", ORIGIN, "text/plain", 415),
        ("/api/generate", ORIGIN, "application/json; charset=utf-8", 200),
        ("/api/sessions/cleanup", None, "text/plain", 415),
        ("/api/sessions/cleanup", None, "application/x-www-form-urlencoded", 415),
        ("/api/sessions/cleanup", None, "application/json", 200),
        ("/v1/chat/completions", None, "application/octet-stream", 404),
    ],
)
def test_what_a_body_must_be_declared_as(
    served: Served, path: str, origin: str | None, kind: str, status: int
) -> None:
    headers = {"Content-Type": kind} | ({"Origin": origin} if origin else {})
    name = "nope" if path.startswith("/v1") else "llama2"
    data = json.dumps({"model": name, "prompt": "x"})
    answer = requests.post(served.url + path, data=data, headers=headers, timeout=10)
    assert answer.status_code == status


def test_an_undeclared_body_is_refused_outside_the_dialects(served: Served) -> None:
    url = f"{served.url}/api/sessions/cleanup"
    assert requests.post(url, data=b"{}", timeout=10).status_code == 415


def big() -> Iterator[bytes]:
    for _ in range(11):
        yield b" " * 1024 * 1024


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(
    ("path", "key"), [("/api/chat", "error"), ("/v1/chat/completions", "error"), ("/x", "detail")]
)
def test_eleven_megabytes_are_too_large(served: Served, chunked: bool, path: str, key: str) -> None:
    data = big() if chunked else b"".join(big())
    headers = {"Content-Type": "application/json"}
    answer = requests.post(served.url + path, data=data, headers=headers, timeout=20)
    if path == "/x" and chunked:
        assert answer.status_code == 404  # nobody reads the body of an unknown path
        return
    assert answer.status_code == 413
    assert key in answer.json()
    assert get(served).status_code == 200


def test_a_websocket_of_a_strangers_page_is_refused_before_it_is_accepted(anyio_backend) -> None:
    import anyio

    sent: list[dict[str, object]] = []

    async def app(scope, receive, send):
        raise AssertionError("reached the application")

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"origin", b"http://evil.example")]
    scope = {"type": "websocket", "path": "/ws", "headers": headers}
    guard = Guard(app, GuardRules(bind_host="127.0.0.1"))
    anyio.run(guard, scope, receive, send)
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("Example.COM:80", "example.com"),
        ("a.:1", "a"),
        ("[FE80::1]:2", "fe80::1"),
        ("a b", ""),
        ("a:b", ""),
        ("ü", ""),
        ("a\x00", ""),
    ],
)
def test_a_host_header_is_read_as_rfc_3986_writes_it(value: str, name: str) -> None:
    assert host_name(value) == name


def test_same_origin_only_lets_nobody_else_in() -> None:
    def judge(origin: str) -> str:
        return judge_origin(origin, "localhost:8099", allowed=("*",), same_origin_only=True)

    assert judge("http://localhost:8099") == "own"
    assert judge(ORIGIN) == "refused"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("box.lan", False),
        ("", False),
    ],
)
def test_what_counts_as_loopback(host: str, local: bool) -> None:
    assert is_loopback(host) is local
