"""What signals do to the daemon at awkward moments (faults.md rows 15, 35 and 36)."""

import signal
import threading
import time
from pathlib import Path

import pytest

from tests.fakes.daemon import Daemon, add_agent, eventually, is_alive, running


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "GhidraAgent")
    add_agent(daemon.agents, "CustomAgent")
    return daemon


def slow_start(daemon: Daemon, seconds: float, name: str = "Slow") -> None:
    manifest = add_agent(daemon.agents, name, '[tools]\npython = "tools.py"\n')
    (manifest.parent / "tools.py").write_text(f"import time\ntime.sleep({seconds})\n")


def test_a_daemon_told_to_go_while_agents_start_ends_them_all_and_exits_0(daemon: Daemon) -> None:
    slow_start(daemon, 30)
    with running(daemon, settled=False):
        daemon.wait_for("slow", phase="starting")
        eventually(lambda: daemon.row("slow")["pid"] is not None)
        tree = daemon.tree()
        assert daemon.stop() == 0
        assert not any(is_alive(one) for one in tree)


def test_a_second_signal_ends_at_once_what_would_drain_for_long(daemon: Daemon) -> None:
    script = '[[turn]]\nchunks = ["a", "b"]\ndelay = 60\n'
    (daemon.agents / "ghidraagent" / "script.toml").write_text(script)
    with running(daemon):
        port = daemon.row("ghidraagent")["port"]
        hanging = threading.Thread(target=_ask, args=(daemon, port), daemon=True)
        hanging.start()
        eventually(lambda: daemon.row("ghidraagent")["in_flight"] == 1)
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGINT)
        daemon.wait_for("ghidraagent", phase="draining")
        began = time.monotonic()
        daemon.process.send_signal(signal.SIGINT)
        assert daemon.process.wait(20) == 0
        assert time.monotonic() - began < 15, "not the 30 s of its stop_timeout"


def _ask(daemon: Daemon, port: object) -> None:
    try:
        daemon.chat(port)
    except Exception:  # noqa: BLE001  it is cut off, which is what the test wants
        return


def test_a_hundred_hangup_signals_are_few_looks_and_touch_nothing(daemon: Daemon) -> None:
    with running(daemon):
        before = daemon.units()
        assert daemon.process is not None
        for _ in range(100):
            daemon.process.send_signal(signal.SIGHUP)
        manifest = add_agent(daemon.agents, "Newcomer")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("newcomer", phase="running")
        assert manifest.exists()
        assert daemon.units().items() >= before.items()


def test_a_daemon_that_was_stopped_for_a_while_restarts_nobody_when_it_goes_on(
    daemon: Daemon,
) -> None:
    add_agent(daemon.agents, "Watched", "[deployment]\nhealth_check_interval = 1\n")
    with running(daemon):
        before = daemon.units()
        generations = [daemon.row(slug)["generation"] for slug in before]
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(8)  # longer than every limit that could be judged wrongly
        daemon.process.send_signal(signal.SIGCONT)
        eventually(lambda: daemon.get("/health").status_code == 200)
        time.sleep(2)
        assert daemon.units() == before
        assert [daemon.row(slug)["generation"] for slug in before] == generations
