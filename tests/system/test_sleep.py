"""Scale to zero: no process while nobody asks, and a client who does is not refused."""

import signal
import threading
import time
from pathlib import Path

import pytest

from tests.fakes.daemon import Daemon, add_agent, eventually, running


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Sleeper", "[deployment]\nidle_timeout = 1\n")
    return daemon


def test_it_begins_asleep_is_woken_by_its_first_client_and_falls_asleep_again(
    daemon: Daemon,
) -> None:
    with running(daemon):
        row = daemon.row("sleeper")
        assert (row["phase"], row["status"], row["pid"]) == ("asleep", "running", None)
        for number in (1, 2):
            assert daemon.chat(row["port"]) == "Hello from Sleeper"
            assert daemon.row("sleeper")["generation"] == number
            daemon.wait_for("sleeper", phase="asleep", pid=None)
        assert daemon.row("sleeper")["restarts"] == 0


def test_a_client_who_came_while_the_daemon_was_away_is_answered_when_it_is_back(
    daemon: Daemon,
) -> None:
    with running(daemon):
        port = daemon.row("sleeper")["port"]
        daemon.stop(signal.SIGKILL)
        daemon.start()
        assert daemon.row("sleeper")["phase"] == "asleep"
        assert daemon.chat(port) == "Hello from Sleeper"


def test_one_that_is_busy_when_the_daemon_comes_back_is_not_put_to_sleep(daemon: Daemon) -> None:
    script = '[[turn]]\nchunks = ["a", "b", "c"]\ndelay = 2\n'
    (daemon.agents / "sleeper" / "script.toml").write_text(script)
    with running(daemon):
        port = daemon.row("sleeper")["port"]
        began = time.monotonic()

        said: list[str] = []
        asking = threading.Thread(target=lambda: said.append(daemon.chat(port)))
        asking.start()
        eventually(lambda: daemon.row("sleeper")["in_flight"] == 1)
        daemon.stop(signal.SIGKILL)
        daemon.start()
        asking.join(30)
        assert said == ["abc"]
        assert time.monotonic() - began >= 6
        assert daemon.row("sleeper")["generation"] == 1
