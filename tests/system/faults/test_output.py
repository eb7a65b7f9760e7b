"""What agents print, and what happens when descriptors run out: rows 23 to 26."""

import json
import os
import resource
import signal
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

import httpx
import psutil
import pytest

from tests.fakes.daemon import Daemon, add_agent, eventually, running
from tests.fakes.holds import watching

IN_A_THREAD = """
import os, threading, time
def work():
{work}
threading.Thread(target=work, daemon=True).start()
"""
MOST_LINE = 65_536


def add_talker(daemon: Daemon, name: str, work: str) -> None:
    """A real agent that does this besides, in a thread of its own."""
    manifest = add_agent(daemon.agents, name, '[tools]\npython = "tools.py"\n')
    body = "\n".join(f"    {line}" for line in work.strip().splitlines())
    (manifest.parent / "tools.py").write_text(IN_A_THREAD.format(work=body))


def log_of(daemon: Daemon, slug: str) -> Path:
    return daemon.state / "logs" / f"{slug}.log"


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Other")
    return daemon


def pid_of(daemon: Daemon, who: str) -> int:
    assert daemon.process is not None
    return daemon.process.pid if who == "daemon" else daemon.keeper


@contextmanager
def no_more_descriptors(pid: int) -> Iterator[None]:
    """prlimit(2): not one more than the process has now. The limit is on their numbers."""
    taken = {int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    most = next(number for number in count() if number not in taken)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def cpu_share(pid: int, seconds: float) -> float:
    """Of one core, over so many seconds from now."""
    process = psutil.Process(pid)
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    return (sum(process.cpu_times()[:2]) - before) / seconds


@pytest.mark.parametrize("who", ["daemon", "keeper"])
def test_row_23_without_descriptors_nothing_spins_and_what_runs_goes_on(
    daemon: Daemon, who: str
) -> None:
    add_agent(daemon.agents, "Late")
    with (
        running(daemon),
        watching(daemon, touched={"late"}) as watch,
        httpx.Client(base_url=daemon.url, headers=daemon.token(), timeout=20) as kept,
    ):
        kept.post("/api/v1/agents/late/stop").raise_for_status()
        with watch.daemon_away(), no_more_descriptors(pid_of(daemon, who)):
            with crowd(daemon, who):
                assert cpu_share(pid_of(daemon, who), 2) < 0.3
                assert kept.get("/health").elapsed.total_seconds() < 1
            if who == "keeper":
                _nothing_can_be_started(kept)
        daemon.post("/api/v1/agents/late/start")
        daemon.wait_for("late", phase="running")


def _nothing_can_be_started(kept: httpx.Client) -> None:
    """It fails with the reason, and a restart leaves the process that serves."""
    late = kept.post("/api/v1/agents/late/start").json()
    assert "Too many open files" in f"{late['reason']} {late['last_exit']}"
    was = kept.get("/api/v1/agents/other").json()
    other = kept.post("/api/v1/agents/other/restart").json()
    assert "cannot start other: Too many open files" in str(other["last_exit"])
    assert (other["pid"], other["status"]) == (was["pid"], "running")


@contextmanager
def crowd(daemon: Daemon, who: str) -> Iterator[None]:
    """More clients than there can be descriptors."""
    with ExitStack() as stack:
        for _ in range(20):
            family, kind = (
                (socket.AF_INET, socket.SOCK_STREAM)
                if who == "daemon"
                else (socket.AF_UNIX, socket.SOCK_SEQPACKET)
            )
            one = stack.enter_context(socket.socket(family, kind))
            one.settimeout(5)
            with suppress(ConnectionError):
                if who == "daemon":
                    one.connect(("127.0.0.1", daemon.api_port))
                else:
                    one.connect(str(daemon.keeper_socket))
        yield


FLOOD = """
block = (b"x" * 99 + b"\\n") * 655
began, sent = time.monotonic(), 0
while True:
    if not os.path.exists({go!r}):
        time.sleep(0.05)
        began, sent = time.monotonic(), 0
        continue
    os.write(1, block)
    sent += len(block)
    ahead = sent / 100e6 - (time.monotonic() - began)
    if ahead > 0.005:
        time.sleep(ahead)
"""


def test_row_24_a_flood_of_output_costs_little_and_slows_nobody(
    daemon: Daemon, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    add_talker(daemon, "Flood", FLOOD.format(go=str(go)))
    with running(daemon):
        port = daemon.row("other")["port"]
        calm = latency(port)
        with watching(daemon):
            go.touch()
            eventually(
                lambda: "lines dropped: output faster" in log_of(daemon, "flood").read_text()
            )
            busy = latency(port)
            shares = {who: cpu_share(pid_of(daemon, who), 3) for who in ("daemon", "keeper")}
            print(f"latency {calm:.4f} s -> {busy:.4f} s, shares of a core {shares}")
            go.unlink()
            sizes = [p.stat().st_size for p in log_of(daemon, "flood").parent.glob("flood.log*")]
            assert busy < max(2 * calm, calm + 0.005)
            assert shares["daemon"] < 0.2
            assert shares["keeper"] < 0.7
            assert max(sizes) <= 10_100_000


def latency(port: object) -> float:
    """Seconds of a health check, the median of many."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        client.get("/health")
        return statistics.median(client.get("/health").elapsed.total_seconds() for _ in range(100))


STRANGE = """
while not os.path.exists({go!r}):
    time.sleep(0.05)
def say(data):
    while data:
        data = data[os.write(1, data):]
say(b"a" * 10_000_000 + b"\\n")
time.sleep(1)  # what comes faster than it may is dropped, which is not what this is about
say(b"after the long line\\n")
say(bytes(n for n in range(256) if n != 10) + b"\\n")
say(b"invalid \\xff\\xfe\\xc3( here\\n")
say(b"nul \\0 nul\\n")
say(b"\\xe2\\x82\\xac" * 30_000 + b"\\n")
say(b"\\x1b]0;title\\x07 escape\\n")
say(b"the end\\n")
"""


def test_row_25_whatever_is_printed_comes_as_lines_of_valid_text_of_bounded_length(
    daemon: Daemon, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    add_talker(daemon, "Strange", STRANGE.format(go=str(go)))
    with running(daemon), watching(daemon):
        go.touch()
        log = log_of(daemon, "strange")
        eventually(lambda: b"the end" in log.read_bytes())
        lines = log.read_bytes().decode().split("\n")
        assert max(len(line.encode()) for line in lines) < MOST_LINE + 200
        cut = [
            line for line in lines if line.endswith("[atoll] cut: the line is longer than 64 KiB")
        ]
        assert [line[29:30] for line in cut] == ["a", "€"]
        assert any(line.endswith("out after the long line") for line in lines)
        assert any(line.endswith(r"invalid \xff\xfe\xc3( here") for line in lines)
        url = f"{daemon.url}/api/v1/agents/strange/logs?tail=50"
        json_lines = {**daemon.token(), "Accept": "application/x-ndjson"}
        told = httpx.get(url, headers=json_lines, timeout=20).raise_for_status().text
        shown = [json.loads(line)["line"] for line in told.splitlines()]
        assert shown[-1] == "the end"
        assert not any(ord(letter) < 32 for line in shown for letter in line if letter != "\t")


CLOSES = """
nowhere = os.open(os.devnull, os.O_WRONLY)
os.dup2(nowhere, 1)
os.dup2(nowhere, 2)
"""
FILLS = """
while not os.path.exists({go!r}):
    time.sleep(0.05)
for number in range(20_000):
    os.write(1, b"line %07d of what the pipe cannot hold while nobody reads it\\n" % number)
"""


@pytest.mark.parametrize("who", ["daemon", "keeper"])
def test_row_26_a_closed_output_or_a_stopped_reader_leads_to_no_deadlock(
    daemon: Daemon, tmp_path: Path, who: str
) -> None:
    go = tmp_path / "go"
    add_talker(daemon, "Closes", CLOSES)
    add_talker(daemon, "Fills", FILLS.format(go=str(go)))
    with running(daemon), watching(daemon, {"other"}, handed_over={"other"}) as watch:
        port = daemon.row("fills")["port"]
        stopped = pid_of(daemon, who)
        with watch.daemon_away():
            os.kill(stopped, signal.SIGSTOP)
            go.touch()
            until = time.monotonic() + 4  # longer than the silence that counts as a hang
            while time.monotonic() < until:
                assert daemon.chat(port) == "Hello from Fills"
            if who == "keeper":
                url = f"{daemon.url}/api/v1/agents/other/restart?wait=false"
                assert httpx.post(url, headers=daemon.token(), timeout=5).status_code == 202
            os.kill(stopped, signal.SIGCONT)
        eventually(lambda: "line 0019999 of" in log_of(daemon, "fills").read_text())
        assert log_of(daemon, "fills").read_text().count("of what the pipe") == 20_000
        assert daemon.chat(daemon.row("closes")["port"]) == "Hello from Closes"
        assert cpu_share(daemon.keeper, 1) < 0.3, "an output that ended is read no more"
