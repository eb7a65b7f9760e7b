"""Launches through a template, a real one and ones that fail in every way they can."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from atoll_supervisor.keeper import protocol as p
from atoll_supervisor.keeper.mark import mark_of
from atoll_supervisor.keeper.proc import children_of, stat_of
from tests.fakes.keeper import LIMIT, FakeDaemon, KeeperProcess, is_dead, wait_until

FAKE = str(Path(__file__).parents[1] / "fakes/template.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def keeper(tmp_path):
    made = KeeperProcess(tmp_path)
    yield made
    made.end()


@pytest.fixture
def daemon(keeper):
    made = FakeDaemon(keeper)
    yield made
    made.close()


def preload(daemon, mode, serial=1):
    """Have a misbehaving template started."""
    order = p.Preload(
        serial=serial,
        key=f"runtime {serial}",
        argv=[sys.executable, "-S", FAKE, mode],
        env={"PATH": os.environ["PATH"]},
        cwd=str(daemon.keeper.folder),
        log=str(daemon.keeper.folder / "template.log"),
    )
    daemon.send(order)


def ready(daemon, serial=1):
    daemon.until(lambda: (daemon.template.stage, daemon.template.serial) == ("ready", serial))
    return daemon.template


def failed(daemon):
    daemon.until(lambda: daemon.template.stage == "failed")
    return daemon.template


def test_a_fork_is_a_process_like_any_other(daemon):
    """Output, channel, socket, end and status as after an exec; its parent is the keeper."""
    preload(daemon, "good")
    ready(daemon)
    port = daemon.listen("unit").port
    daemon.launch("unit", "--print", "hello", "--serve", via="fork", listen=True)
    state = daemon.serving("unit")
    assert state.via == "fork"
    assert stat_of(state.pid).parent == daemon.keeper.pid
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert state.instance.encode() in client.recv(4096)
    daemon.send(p.Signal("unit", 1, "term"))
    gone = daemon.gone("unit")
    assert (gone.code, gone.via) == (0, "fork")
    assert daemon.lines("unit") == ["hello"]


def test_a_hundred_forks_at_once(daemon):
    """More than are under way at a time; each gets its own."""
    preload(daemon, "good")
    ready(daemon)
    for number in range(100):
        daemon.launch(f"u{number}", "--exit", str(number), via="fork")
    gone = [daemon.gone(f"u{number}") for number in range(100)]
    assert [state.code for state in gone] == list(range(100))
    assert {state.via for state in gone} == {"fork"}


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("hang", "did not answer for 2 s"),
        ("die", "the template ended: SIGKILL|closed its socket"),
        ("refuse", "no room"),
        ("lie", "wrong pid"),
        ("error", "two threads"),
        ("crash", "ImportError: no module named runtime"),
        ("silent", "was not ready after 2 s"),
        ("die-after-fork", "the template ended: SIGKILL|closed its socket"),
        ("hang-after-fork", "did not answer for 2 s"),
    ],
)
def test_a_template_that_fails_costs_a_launch_nothing_but_time(daemon, mode, why):
    """It goes by exec, once: nothing of the try with the template stays."""
    preload(daemon, mode)
    daemon.launch("unit", via="fork")
    state = daemon.serving("unit")
    assert state.via == "exec"
    log = daemon.keeper.log.read_text()
    assert any(
        f"unit is started by exec: the template {text}" in log or text in log
        for text in why.split("|")
    )
    wait_until(lambda: stray_marks(daemon) == {mark_of(state.pid)})


def stray_marks(daemon):
    """The marks of what lives below the keeper, without its template."""
    own = mark_of(daemon.template.pid) if daemon.template.pid else 0
    alive = [pid for pid in children_of(daemon.keeper.pid) if not is_dead(pid)]
    names = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in alive}
    units = [pid for pid, name in names.items() if FAKE not in name or mark_of(pid) != own]
    return {mark_of(pid) for pid in units if mark_of(pid)} - {own}


def test_a_template_that_was_never_asked_for(daemon):
    """A fork without one goes by exec at once."""
    assert daemon.template.stage == "none"
    daemon.launch("unit", via="fork")
    assert daemon.serving("unit").via == "exec"


def test_launches_wait_for_a_template_that_is_starting(daemon):
    """Not long, but long enough for one that is fine."""
    preload(daemon, "slow")
    for number in range(10):
        daemon.launch(f"u{number}", via="fork")
    assert {daemon.serving(f"u{number}").via for number in range(10)} == {"fork"}


def test_an_end_before_the_pid_is_known_is_not_lost(daemon):
    """The zombie waits for its announcement, however often orphans are buried meanwhile."""
    preload(daemon, "late")
    ready(daemon)
    daemon.launch("unit", via="fork")
    gone = daemon.gone("unit")
    assert (gone.code, gone.via) == (5, "fork")


def test_a_failed_template_is_started_again_with_growing_pauses(daemon):
    """At once, after 1 s, after 2 s: never in a circle."""
    preload(daemon, "crash")
    started = time.monotonic()
    daemon.until(lambda: starts(daemon) >= 4)
    assert time.monotonic() - started > 2.5
    reason = failed(daemon).reason
    assert reason == "the template ended: exit code 1: ImportError: no module named runtime"
    assert "ImportError" in (daemon.keeper.folder / "template.log").read_text()


def starts(daemon):
    """How many templates with a pid were told of."""
    return len({s.pid for s in daemon.heard if isinstance(s, p.Template) and s.pid})


def test_units_do_not_notice_that_their_template_dies(daemon):
    """Neither its death nor its replacement touches who was forked from it."""
    preload(daemon, "good")
    pid = ready(daemon).pid
    daemon.launch("unit", "--beat", "0.2", via="fork")
    unit = daemon.serving("unit")
    os.kill(pid, signal.SIGKILL)
    daemon.until(lambda: daemon.template.stage == "ready" and daemon.template.pid != pid)
    daemon.launch("other", via="fork")
    assert daemon.serving("other").via == "fork"
    assert daemon.processes["unit", 1].pid == unit.pid
    assert not is_dead(unit.pid)


def test_a_new_template_takes_over_when_it_is_ready(daemon):
    """The old one goes; its units stay."""
    preload(daemon, "good", 1)
    first = ready(daemon, 1)
    daemon.launch("unit", via="fork")
    unit = daemon.serving("unit")
    preload(daemon, "slow", 2)
    daemon.until(lambda: daemon.template.serial == 2 and daemon.template.stage == "starting")
    daemon.launch("meanwhile", via="fork")
    assert daemon.serving("meanwhile").via == "fork"
    second = ready(daemon, 2)
    assert second.key == "runtime 2"
    wait_until(lambda: is_dead(first.pid))
    daemon.launch("after", via="fork")
    assert daemon.serving("after").via == "fork"
    assert not is_dead(unit.pid)


def test_a_new_template_that_fails_leaves_the_old_one_forking(daemon):
    """And is told as failed, with the reason."""
    preload(daemon, "good", 1)
    first = ready(daemon, 1)
    preload(daemon, "error", 2)
    state = failed(daemon)
    assert (state.serial, state.reason) == (2, "two threads")
    daemon.launch("unit", via="fork")
    assert daemon.serving("unit").via == "fork"
    assert not is_dead(first.pid)


def test_garbage_of_a_template_is_ignored(daemon):
    """As if it had not been said."""
    preload(daemon, "garbage")
    ready(daemon)
    daemon.launch("unit", via="fork")
    assert daemon.serving("unit").via == "fork"


def test_a_template_goes_with_its_keeper(daemon):
    """Leave ends it too, and so does a keeper that is killed."""
    preload(daemon, "good")
    pid = ready(daemon).pid
    daemon.send(p.Leave())
    daemon.keeper.wait()
    wait_until(lambda: is_dead(pid))


def test_the_real_template_forks_a_real_agent(daemon, tmp_path):
    """`python -m atoll.template`, and an agent on the demo back end that answers and drains."""
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "agent.toml").write_text('[agent]\nname = "one"\n[llm]\nprovider = "demo"\n')
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT / "agent_runtime"),
        "ATOLL_STATE_DIR": str(tmp_path / "state"),
        "RUNTIME_DIRECTORY": str(tmp_path / "run"),
    }
    log = str(tmp_path / "template.log")
    argv = [sys.executable, "-m", "atoll.template"]
    daemon.send(p.Preload(1, "key", argv, env, str(tmp_path), log))
    daemon.until(lambda: daemon.template.stage in ("ready", "failed"))
    assert daemon.template.stage == "ready", daemon.template.reason
    port = daemon.listen("one").port
    manifest = str(folder / "agent.toml")
    argv = [sys.executable, "-m", "atoll", "--server", "--port", str(port), "--agent", manifest]
    daemon.launch("one", argv=argv, env=env, via="fork", listen=True, cwd=str(folder))
    state = daemon.serving("one")
    assert state.via == "fork"
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
    daemon.until(lambda: daemon.processes["one", 1].channel)
    daemon.send(p.Signal("one", 1, "term"))
    gone = daemon.gone("one")
    assert (gone.code, gone.signal) in ((0, None), (None, "SIGTERM"))
