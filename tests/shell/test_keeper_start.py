"""Real processes through a real keeper: what they get, and how their end is told."""

import json
import os
import select
import signal
import socket
from pathlib import Path

import pytest

from atoll_supervisor.keeper import protocol as p
from tests.fakes.keeper import LIMIT, FakeDaemon, KeeperProcess, wait_until


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


def seen_by(daemon, unit):
    """What `--report` wrote, once it is there."""
    path = daemon.keeper.folder / f"{unit}.seen"
    wait_until(path.exists)
    return json.loads(path.read_text())


def descriptors(pid):
    return {path.name for path in Path(f"/proc/{pid}/fd").iterdir()}


def test_readiness_and_the_exit_status_are_told(daemon):
    """Also when the child exits right after, with its true code."""
    daemon.launch("unit", "--exit", "3")
    gone = daemon.gone("unit")
    assert (gone.code, gone.signal, gone.reason) == (3, None, "")
    assert gone.pid > 0


def test_a_launch_goes_through_its_stages(daemon):
    """Launching without a pid, starting with one, serving once it said READY=1."""
    daemon.launch("unit", "--slow-start", "0.3", memo="mine")
    assert daemon.serving("unit").memo == "mine"
    told = [state for state in daemon.heard if isinstance(state, p.Process)]
    stages = list(dict.fromkeys(state.stage for state in told))
    assert stages[-2:] == ["starting", "serving"]
    assert {state.pid == 0 for state in told if state.stage == "launching"} <= {True}
    assert all(state.pid for state in told if state.stage != "launching")


def test_a_killing_signal_is_named(daemon):
    """A child that dies by SIGKILL has no code but the signal's name."""
    daemon.launch("unit", "--crash-after", "0")
    gone = daemon.gone("unit")
    assert (gone.code, gone.signal, gone.reason) == (None, "SIGKILL", "")


def test_a_real_time_signal_has_a_number(daemon):
    """A signal without a name does not break the report."""
    daemon.launch("unit", "--never-ready")
    os.kill(daemon.started("unit").pid, signal.SIGRTMIN + 1)
    assert daemon.gone("unit").signal == f"SIG{signal.SIGRTMIN + 1}"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo first >&2; echo last >&2; exit 2", "last"),
        ("echo words >&2; kill -ABRT $$", "words"),
        ("echo words >&2; exit 0", ""),
        ("echo words >&2; kill -TERM $$", ""),
    ],
)
def test_the_last_words_are_the_reason_of_an_end_of_its_own_doing(daemon, script, reason):
    """A non-zero code or SIGABRT; not a clean exit, and not a signal that somebody sent."""
    daemon.shell("unit", script)
    assert daemon.gone("unit").reason == reason


def test_terminate_is_obeyed_even_by_a_stopped_child(daemon):
    """SIGTERM reaches a SIGSTOPped process, because it is continued (faults.md row 5)."""
    daemon.launch("unit")
    os.kill(daemon.serving("unit").pid, signal.SIGSTOP)
    daemon.send(p.Signal("unit", 1, "term"))
    gone = daemon.gone("unit")
    assert (gone.code, gone.asked) == (0, "term")


def test_a_child_that_ignores_sigterm_dies_of_kill(daemon):
    """Kill needs no cooperation (faults.md row 6)."""
    daemon.launch("unit", "--ignore-term")
    daemon.serving("unit")
    daemon.send(p.Signal("unit", 1, "term"))
    daemon.send(p.Signal("unit", 1, "kill"))
    gone = daemon.gone("unit")
    assert (gone.signal, gone.asked) == ("SIGKILL", "kill")


def test_orders_after_the_end_do_nothing(daemon):
    """Late signals to a dead child are not errors, whoever has its pid now."""
    daemon.launch("unit", "--exit", "0")
    gone = daemon.gone("unit")
    daemon.send(p.Signal("unit", 1, "kill"))
    daemon.send(p.Signal("nobody", 1, "kill"))
    daemon.shell("other", "exit 0")
    daemon.gone("other")
    assert daemon.processes["unit", 1] == gone


def test_a_kill_that_comes_with_the_launch_is_not_lost(daemon):
    """However early it comes, the process ends by it."""
    for generation in range(1, 21):
        daemon.launch("unit", "--ignore-term", generation=generation)
        daemon.send(p.Signal("unit", generation, "kill"))
    for generation in range(1, 21):
        gone = daemon.gone("unit", generation)
        assert gone.signal == "SIGKILL" or gone.reason == "ended before it was started"


def test_a_child_holds_nothing_but_what_it_was_given(daemon):
    """0-2, the socket at 3 and the channel at 4: nothing of the keeper."""
    daemon.listen("unit")
    daemon.launch("unit", "--report", "unit.seen", listen=True)
    fds = seen_by(daemon, "unit")["fds"]
    assert sorted(fds) == ["0", "1", "2", "3", "4"]
    assert fds["0"] == "/dev/null"
    assert {fd: fds[fd][:5] for fd in "1234"} == dict(
        zip("1234", ["pipe:", "pipe:", "socke", "socke"], strict=True)
    )


def test_a_child_without_a_socket_gets_none(daemon):
    """LISTEN_FDS is only there when a socket is (sd_listen_fds(3))."""
    daemon.launch("unit", "--report", "unit.seen")
    seen = seen_by(daemon, "unit")
    assert sorted(seen["fds"]) == ["0", "1", "2", "4"]
    assert "LISTEN_FDS" not in seen["env"]


def test_a_child_leads_its_own_session_in_its_own_folder(daemon):
    """Session, working directory, environment, default signals and limits are as documented."""
    daemon.launch("unit", "--report", "unit.seen", env={"PATH": "/bin", "MINE": "ü"})
    seen = seen_by(daemon, "unit")
    state = daemon.started("unit")
    assert seen["pid"] == seen["sid"] == state.pid
    assert seen["cwd"] == str(daemon.keeper.folder)
    assert seen["ignored"] == []
    assert seen["limit"] == os.sysconf("SC_OPEN_MAX")
    passed = {name: value for name, value in seen["env"].items() if name != "LC_CTYPE"}
    assert passed == {
        "PATH": "/bin",
        "MINE": "ü",
        "ATOLL_UNIT": "unit",
        "ATOLL_GENERATION": "1",
        "ATOLL_INSTANCE": state.instance,
        "ATOLL_SUPERVISED": "1",
        "ATOLL_CHANNEL_FD": "4",
    }


def test_nothing_of_the_keepers_own_environment_reaches_a_child(tmp_path):
    """NOTIFY_SOCKET, LISTEN_FDS and tokens stay where they were (faults.md row 38)."""
    env = {"NOTIFY_SOCKET": "@x", "LISTEN_FDS": "1", "ATOLL_TOKEN": "t", "PYTHONPATH": "/nowhere"}
    keeper = KeeperProcess(tmp_path, env)
    try:
        daemon = FakeDaemon(keeper)
        daemon.launch("unit", "--report", "unit.seen")
        assert set(env).isdisjoint(seen_by(daemon, "unit")["env"])
        daemon.close()
    finally:
        keeper.end()


def test_an_instance_that_the_daemon_chose_is_kept(daemon):
    """Otherwise the keeper makes one up, another for each process."""
    daemon.launch("a", env={"ATOLL_INSTANCE": "chosen"})
    daemon.launch("b")
    assert daemon.started("a").instance == "chosen"
    assert len(daemon.started("b").instance) == 32


def test_the_held_socket_answers_through_the_child(daemon):
    """A connection made before the child serves waits, and is then answered."""
    port = daemon.listen("unit").port
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as waiting:
        waiting.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        daemon.launch("unit", "--slow-start", "0.2", "--serve", listen=True)
        answer = waiting.recv(4096)
    assert daemon.serving("unit").instance.encode() in answer


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"argv": ["no-such-program"]}, "cannot start no-such-program: No such file or directory"),
        ({"argv": ["./missing"]}, "cannot start ./missing: No such file or directory"),
        ({"argv": []}, "cannot start nothing: "),
        ({"argv": ["true", "a\0b"]}, "cannot start true: embedded null byte"),
        ({"cwd": "/no/such/folder"}, "cannot start in /no/such/folder: No such file or directory"),
        ({"listen": True}, "cannot start unit: no socket is held for it"),
        ({"memo": "m" * 32_769}, "cannot start unit: its memo is longer than 32768 bytes"),
    ],
)
def test_an_impossible_launch_says_so_and_leaves_nothing(daemon, change, reason):
    """An end without pid, code and signal; every descriptor is given back."""
    daemon.shell("before", "exit 0")
    daemon.gone("before")
    before = descriptors(daemon.keeper.pid)
    daemon.launch("unit", **change)
    gone = daemon.gone("unit")
    assert gone.reason.startswith(reason)
    assert (gone.pid, gone.code, gone.signal) == (0, None, None)
    assert descriptors(daemon.keeper.pid) <= before


def test_a_second_launch_of_the_same_generation_is_ignored(daemon):
    """The daemon may be unsure what its predecessor did; it never gets two."""
    daemon.launch("unit")
    pid = daemon.serving("unit").pid
    daemon.launch("unit")
    daemon.shell("other", "exit 0")
    daemon.gone("other")
    assert daemon.processes["unit", 1].pid == pid
    assert "launch ignored" in daemon.keeper.log.read_text()


def test_two_generations_live_side_by_side(daemon):
    """One unit, one log, two processes with their own ends and last words."""
    daemon.shell("unit", "echo old >&2; while ! test -e go; do sleep 0.05; done; exit 1")
    daemon.started("unit")
    daemon.shell("unit", "echo new >&2; exit 2", generation=2)
    assert daemon.gone("unit", 2).reason == "new"
    (daemon.keeper.folder / "go").touch()
    old = daemon.gone("unit", 1)
    assert (old.code, old.reason) == (1, "old")
    assert sorted(daemon.lines("unit")) == ["new", "old"]


def test_a_hundred_children_at_once_each_with_its_own_status(daemon):
    """No exit is lost or mixed up, and no descriptor stays once they are forgotten."""
    before = descriptors(daemon.keeper.pid)
    for number in range(100):
        daemon.shell(f"u{number}", f"exit {number}")
    assert [daemon.gone(f"u{number}").code for number in range(100)] == list(range(100))
    for number in range(100):
        daemon.send(p.Forget(f"u{number}", 1))
    wait_until(lambda: descriptors(daemon.keeper.pid) <= before)


def test_a_running_process_is_not_forgotten(daemon):
    """Forget is for ends."""
    daemon.launch("unit")
    daemon.serving("unit")
    daemon.send(p.Forget("unit", 1))
    daemon.send(p.Signal("unit", 1, "term"))
    assert daemon.gone("unit").code == 0


def test_a_child_dies_with_its_keeper(daemon):
    """The kernel sees to it, however the keeper ends: nothing is left on a port."""
    daemon.launch("unit", "--ignore-term")
    watched = os.pidfd_open(daemon.serving("unit").pid)
    daemon.keeper.process.kill()
    daemon.keeper.wait()
    ended, _, _ = select.select([watched], [], [], LIMIT)
    os.close(watched)
    assert ended
