"""`python -m atoll --server` as a real process: it starts, says so, serves, and stops cleanly."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from atoll.http.sockets import bind

ROOT = Path(__file__).parents[2]
MANIFEST = """
[agent]
name = "Speaker"

[llm]
provider = "scripted"
script = "script.toml"
"""
SCRIPT = """
[[turn]]
text = "Hello from the script"
"""
LAUNCHER = "import os,sys;os.dup2(int(sys.argv[1]),3);os.execv(sys.argv[2],sys.argv[2:])"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(MANIFEST)
    (tmp_path / "script.toml").write_text(SCRIPT)
    return path


def environment(folder: Path, **extra: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(ROOT / "agent_runtime"), str(ROOT / "supervisor")]),
        "HOME": str(folder),
        "ATOLL_STATE_DIR": str(folder / "state"),
        **extra,
    }


def run(folder: Path, *args: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "atoll", *args],
        env=environment(folder, **extra),
        capture_output=True,
        text=True,
        timeout=30,
    )


@contextmanager
def process(folder: Path, *args: str, **extra: str) -> Iterator["subprocess.Popen[str]"]:
    child = subprocess.Popen(
        [sys.executable, "-m", "atoll", "--server", *args],
        env=environment(folder, **extra),
        stderr=subprocess.PIPE,
        text=True,
    )
    with ended(child):
        yield child


@contextmanager
def ended(child: "subprocess.Popen[str]") -> Iterator[None]:
    with child:
        try:
            yield
        finally:
            child.kill()


def address(child: "subprocess.Popen[str]") -> str:
    """The address a starting server prints when it serves."""
    assert child.stderr
    told: list[str] = []
    for line in child.stderr:
        told.append(line)
        if " serves " in line:
            return line.split()[-1]
    raise AssertionError("".join(told))


def test_it_serves_the_manifest_it_is_given_and_stops_with_0(manifest: Path) -> None:
    folder = manifest.parent
    with process(folder, "--port", "0", "--agent", str(manifest)) as child:
        url = address(child)
        health = requests.get(f"{url}/health", timeout=10).json()
        assert (health["agent"], health["pid"]) == ("Speaker", child.pid)
        body = {"model": "speaker", "messages": [{"role": "user", "content": "hi"}]}
        answer = requests.post(f"{url}/api/chat", json=body | {"stream": False}, timeout=10)
        assert answer.json()["message"]["content"] == "Hello from the script"
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0


def test_ctrl_c_stops_it_too(manifest: Path) -> None:
    with process(manifest.parent, "--port", "0", "--agent", str(manifest)) as child:
        address(child)
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 0


@contextmanager
def supervised(
    manifest: Path, held: socket.socket
) -> Iterator[tuple["subprocess.Popen[str]", socket.socket]]:
    """An agent that was executed as a keeper does it, and the keeper's end of its channel."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(20)
    number = str(theirs.fileno())
    extra = {"ATOLL_SUPERVISED": "1", "LISTEN_FDS": "1", "ATOLL_CHANNEL_FD": number}
    command = [sys.executable, "-m", "atoll", "--server", "--port", "1025", "--agent"]
    with theirs:
        child = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(held.fileno()), *command, str(manifest)],
            env=environment(manifest.parent, **extra),
            pass_fds=[held.fileno(), theirs.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
    with ours, ended(child):
        yield child, ours


def test_a_supervised_agent_takes_its_socket_and_says_when_it_serves(manifest: Path) -> None:
    with bind("127.0.0.1", 0) as held, supervised(manifest, held) as (child, channel):
        port = held.getsockname()[1]
        assert channel.recv(500) == b"READY=1\n"
        assert requests.get(f"http://127.0.0.1:{port}/", timeout=10).text
        child.kill()
        child.wait(20)
        # The port outlives its process: a client waits, nobody refuses it.
        socket.create_connection(("127.0.0.1", port), 5).close()


def test_it_beats_and_tells_of_use_but_not_of_looks_at_its_health(manifest: Path) -> None:
    with bind("127.0.0.1", 0) as held, supervised(manifest, held) as (_, channel):
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        assert channel.recv(500) == b"READY=1\n"
        idle = channel.recv(500)
        assert idle == b"WATCHDOG=1\nIN_FLIGHT=0\nLAG_MS=0\nACTIVE=0.000\n"
        for path in ("/health", "/ready"):
            requests.get(f"{url}{path}", timeout=10)
        assert b"ACTIVE=0.000\n" in channel.recv(500)
        before = time.monotonic()
        requests.get(f"{url}/api/tags", timeout=10)
        used = active_in(channel.recv(500))
        assert before <= used <= time.monotonic()


def active_in(beat: bytes) -> float:
    """When a beat says that the agent was used."""
    return float(beat.partition(b"ACTIVE=")[2]) + 0.001  # rounded to milliseconds


def test_an_ordered_stop_is_told_step_by_step(manifest: Path) -> None:
    with bind("127.0.0.1", 0) as held, supervised(manifest, held) as (child, channel):
        assert channel.recv(500) == b"READY=1\n"
        child.send_signal(signal.SIGTERM)
        words = []
        while word := channel.recv(500):
            words.append(word)
        assert child.wait(20) == 0
    assert [word for word in words if b"WATCHDOG" not in word] == [b"DRAINING=1\n", b"STOPPING=1\n"]


def test_an_agent_whose_keeper_is_gone_leaves(manifest: Path) -> None:
    with bind("127.0.0.1", 0) as held, supervised(manifest, held) as (child, channel):
        assert channel.recv(500) == b"READY=1\n"
        channel.close()
        assert child.wait(20) == 0
        assert child.stderr
        assert "whoever started this agent is gone: it stops" in child.stderr.read()


def test_without_agent_a_plain_assistant_is_served(tmp_path: Path) -> None:
    with process(tmp_path, "--port", "0") as child:
        tags = requests.get(f"{address(child)}/api/tags", timeout=10).json()
    assert tags["models"][0]["name"] == "assistant:latest"


def test_a_wrong_manifest_is_explained_and_the_code_is_5(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[agent]\nnmae = "x"\n')
    done = run(tmp_path, "--server", "--port", "0", "--agent", str(path))
    assert done.returncode == 5
    assert "agent.toml:2:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    done = run(tmp_path, "--server", "--port", "0", "--agent", str(tmp_path / "no.toml"))
    assert done.returncode == 5
    assert "no.toml" in done.stderr
    assert "Traceback" not in done.stderr


def test_sessions_that_cannot_be_kept_are_explained(manifest: Path) -> None:
    agents = manifest.parent / "state" / "agents"
    agents.mkdir(parents=True)
    (agents / "speaker.db").write_bytes(b"no database at all " * 100)
    done = run(manifest.parent, "--server", "--port", "0", "--agent", str(manifest))
    assert done.returncode == 1
    assert "speaker.db: file is not a database; move that file away" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_names_its_holder(manifest: Path) -> None:
    with bind("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        done = run(manifest.parent, "--server", "--port", str(port), "--agent", str(manifest))
    assert done.returncode == 1
    assert f"port {port} is in use by " in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert "--port" in done.stderr


@pytest.mark.parametrize("port", ["99999", "abc", "-1", "", "22"])
def test_a_port_that_is_none_is_a_usage_error(tmp_path: Path, port: str) -> None:
    done = run(tmp_path, "--server", f"--port={port}")
    assert done.returncode == 2
    assert "is not a port (0, or 1024 to 65535)" in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_beyond_loopback_it_needs_a_token(manifest: Path, host: str) -> None:
    done = run(manifest.parent, "--server", "--port", "0", "--host", host, "--agent", str(manifest))
    assert done.returncode == 2
    assert "set ATOLL_AGENT_TOKEN, or use --host 127.0.0.1" in done.stderr


def test_with_a_token_it_checks_it(manifest: Path) -> None:
    args = ("--port", "0", "--agent", str(manifest))
    with process(manifest.parent, *args, ATOLL_AGENT_TOKEN="s3cret") as child:
        url = address(child)
        assert requests.get(f"{url}/api/tags", timeout=10).status_code == 401
        headers = {"Authorization": "Bearer s3cret"}
        assert requests.get(f"{url}/api/tags", headers=headers, timeout=10).ok


@pytest.mark.parametrize("flag", ["--version", "-v"])
def test_the_version_is_told(tmp_path: Path, flag: str) -> None:
    done = run(tmp_path, flag)
    assert done.returncode == 0
    assert done.stdout.startswith("atoll ")


def test_kill_9_in_mid_stream_leaves_nothing_that_a_restart_stumbles_over(manifest: Path) -> None:
    folder = manifest.parent
    args = ("--port", "0", "--agent", str(manifest))
    with process(folder, *args) as child:
        url = address(child)
        port = url.rpartition(":")[2]
        body = {"model": "speaker", "prompt": "hi"}
        context = requests.post(f"{url}/api/generate", json=body | {"stream": False}, timeout=10)
        child.kill()
        child.wait(20)
    with process(folder, "--port", port, "--agent", str(manifest)) as child:
        url = address(child)
        again = body | {"context": context.json()["context"], "stream": False}
        answer = requests.post(f"{url}/api/generate", json=again, timeout=10)
    assert answer.status_code == 200
    assert json.loads(answer.content)["response"]
