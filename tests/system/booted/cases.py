"""What must hold under a running systemd: these run inside one, started by `test_systemd.py`.

The units are the shipped ones. ATOLL_BOOTED says which: `user` or `system`.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

KIND = os.environ["ATOLL_BOOTED"]
API = int(os.environ.get("ATOLL_API_PORT", "8099"))
BASE = int(os.environ.get("ATOLL_BASE_PORT", "8100"))
AGENTS = ("one", "two")
UNITS_OF_OURS = ("atoll.socket", "atoll.service", "atoll-keeper.service")
SYSTEMCTL = ["systemctl", "--user"] if KIND == "user" else ["systemctl"]
UNITS = Path.home() / ".config/systemd/user" if KIND == "user" else Path("/etc/systemd/system")
GROUPS = Path("/sys/fs/cgroup")
LIMIT = 40.0
WATCHDOG = float(os.environ["ATOLL_BOOTED_WATCHDOG"])


def ctl(*arguments: str, check: bool = True) -> str:
    command = [*SYSTEMCTL, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 or not check, f"{command}: {done.stderr}{told()}"
    return done.stdout.strip()


def told() -> str:
    """What the units have logged, for the message of a test that fails."""
    if KIND == "user":
        return "\n" + (Path.home() / "manager.log").read_text()[-4000:]
    command = ["journalctl", "--no-pager", "-n", "60", "-u", "atoll", "-u", "atoll-keeper"]
    return "\n" + subprocess.run(command, capture_output=True, text=True, timeout=20).stdout


def show(unit: str, name: str) -> str:
    return ctl("show", "--property", name, "--value", unit)


def main_pid(unit: str) -> int:
    return int(show(unit, "MainPID"))


def restarts() -> int:
    return int(show("atoll", "NRestarts"))


def ready_at() -> float:
    return int(show("atoll", "ActiveEnterTimestampMonotonic")) / 1e6


def eventually(condition: Callable[[], object], limit: float = LIMIT) -> None:
    until = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < until, f"not within {limit:g} s{told()}"
        time.sleep(0.02)


def rows() -> dict[str, dict[str, object]]:
    """The fleet as the management API tells it; empty while nobody answers."""
    with suppress(httpx.TransportError):
        got = httpx.get(f"http://127.0.0.1:{API}/api/v1/agents", timeout=5)
        if got.status_code == 200:
            return {row["slug"]: row for row in got.json()["agents"]}
    return {}


def running() -> bool:
    found = rows()
    return set(found) == set(AGENTS) and all(row["phase"] == "running" for row in found.values())


def pids() -> dict[str, object]:
    return {slug: row["pid"] for slug, row in rows().items()}


def asked(port: int) -> int:
    """A request to an agent: refused would raise."""
    return httpx.get(f"http://127.0.0.1:{port}/health", timeout=LIMIT).status_code


def left() -> list[str]:
    """Command lines of the processes that are still in the control groups of the units."""
    found: list[str] = []
    for file in GROUPS.rglob("atoll*.service/**/cgroup.procs"):
        for pid in file.read_text().split():
            with suppress(OSError):
                found.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
    return found


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except ConnectionRefusedError:
        return True
    return False


@contextmanager
def drop_in(text: str) -> Iterator[None]:
    """Settings that an operator adds to the daemon's unit."""
    file = UNITS / "atoll.service.d/50-case.conf"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    ctl("daemon-reload")
    yield
    file.unlink()
    ctl("daemon-reload")


def come_back(before: int) -> int:
    """Wait until systemd has started another daemon and it supervises everything."""
    eventually(lambda: main_pid("atoll") not in (0, before))
    eventually(lambda: show("atoll", "ActiveState") == "active")
    eventually(running)
    return main_pid("atoll")


def hold_still(pid: int) -> None:
    """Keep it from running until it is gone: systemd wakes what it wants to stop."""
    until = time.monotonic() + LIMIT
    with suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.001)


@pytest.fixture
def fleet() -> None:
    """The fleet runs, from the case before or anew: a start of everything costs seconds."""
    ctl("start", "atoll")
    eventually(running)


@pytest.fixture(autouse=True, scope="module")
def afterwards() -> Iterator[None]:
    yield
    ctl("stop", *UNITS_OF_OURS)
    assert left() == []


def test_start_waits_until_it_is_ready_and_says_how_it_is(fleet: None) -> None:
    """`systemctl start` returns when the port answers; `status` tells about the agents."""
    assert show("atoll", "ActiveState") == "active"
    assert show("atoll-keeper", "ActiveState") == "active"
    eventually(lambda: "2" in show("atoll", "StatusText"))
    assert [asked(BASE), asked(BASE + 1)] == [200, 200]


def test_agents_belong_to_the_keepers_unit(fleet: None) -> None:
    """Else systemd would end or count them with the daemon."""
    for pid in pids().values():
        assert "atoll-keeper.service" in Path(f"/proc/{pid}/cgroup").read_text()


def test_a_daemon_that_is_killed_comes_back_and_agents_keep_their_pids(fleet: None) -> None:
    before, agents, counted = main_pid("atoll"), pids(), restarts()
    os.kill(before, signal.SIGKILL)
    assert asked(BASE) == 200
    come_back(before)
    assert pids() == agents
    assert restarts() == counted + 1


def test_a_daemon_that_hangs_is_found_and_agents_keep_their_pids(fleet: None) -> None:
    """faults.md row 37: the watchdog is fed by the loop that supervises."""
    before, agents = main_pid("atoll"), pids()
    eventually(lambda: time.clock_gettime(time.CLOCK_MONOTONIC) > ready_at() + 1.5 * WATCHDOG)
    assert main_pid("atoll") == before, "not fed"
    os.kill(before, signal.SIGSTOP)
    assert asked(BASE) == 200
    come_back(before)
    assert pids() == agents


def test_a_keeper_that_is_killed_takes_everything_along_and_all_comes_back(fleet: None) -> None:
    """Nothing stays on a port; systemd starts the keeper and the daemon starts the agents."""
    keeper, agents = main_pid("atoll-keeper"), pids()
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: main_pid("atoll-keeper") not in (0, keeper))
    eventually(lambda: running() and not set(pids().values()) & set(agents.values()))
    assert [asked(BASE), asked(BASE + 1)] == [200, 200]
    for pid in pids().values():
        assert "atoll-keeper.service" in Path(f"/proc/{pid}/cgroup").read_text()


@pytest.mark.skipif(KIND == "user", reason="a person's fleet is found without variables")
def test_the_command_line_finds_the_fleet_as_the_page_says(fleet: None) -> None:
    """The line of systemd/README.md; `setpriv` is what `sudo` does, without its settings."""
    page = (Path(__file__).parents[3] / "systemd/README.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith("sudo -u atoll "))
    _, _, user, *command = line.split()
    ids = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    done = subprocess.run(["setpriv", *ids, *command], capture_output=True, text=True, timeout=40)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout.lower() for name in AGENTS)


def test_a_reload_reads_the_agents_again(fleet: None) -> None:
    """`systemctl reload` is SIGHUP: nobody restarts."""
    before, agents = main_pid("atoll"), pids()
    ctl("reload", "atoll")
    eventually(running)
    assert (main_pid("atoll"), pids()) == (before, agents)


def test_no_agent_inherits_what_is_the_daemons(fleet: None) -> None:
    """faults.md row 38: neither the notify socket, nor the watchdog, nor passed sockets."""
    for pid in (*pids().values(), main_pid("atoll-keeper")):
        environ = Path(f"/proc/{pid}/environ").read_text()
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDNAMES"):
            assert f"{name}=" not in environ


@pytest.mark.skipif(KIND == "user", reason="a person's units have no user of their own")
def test_the_fleet_runs_as_its_own_user_and_sees_no_home(fleet: None) -> None:
    for pid in (*pids().values(), main_pid("atoll-keeper"), main_pid("atoll")):
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines())
        assert fields["Uid"].split()[0] not in ("0", "65534")
        assert int(fields["CapEff"], 16) == 0
        assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")


def test_a_stop_leaves_nothing(fleet: None) -> None:
    ctl("stop", "atoll")
    assert left() == []
    assert [refused(port) for port in (API, BASE, BASE + 1)] == [True] * 3
    assert show("atoll", "Result") == "success"
    assert show("atoll-keeper", "Result") == "success"


def test_a_stop_after_a_crash_without_return_leaves_nothing(fleet: None) -> None:
    """The daemon is gone for good, its agents serve on; a stop of both units ends all the same."""
    agents = pids()
    with drop_in("[Service]\nRestart=no\n"):
        os.kill(main_pid("atoll"), signal.SIGKILL)
        eventually(lambda: show("atoll", "ActiveState") == "failed")
        assert asked(BASE) == 200
        assert all(Path(f"/proc/{pid}").exists() for pid in agents.values())
        ctl("stop", "atoll", "atoll-keeper")
    assert left() == []
    assert refused(BASE)


def test_a_stop_that_the_daemon_cannot_hear_leaves_nothing(fleet: None) -> None:
    """It is killed at the limit of the stop, and then its agents are stopped without it."""
    with drop_in("[Service]\nTimeoutStopSec=1\nWatchdogSec=0\n"):
        ctl("stop", "--no-block", "atoll")
        hold_still(main_pid("atoll"))
        eventually(lambda: show("atoll", "ActiveState") == "failed")
        assert show("atoll", "Result") == "timeout"
        eventually(lambda: show("atoll-keeper", "ActiveState") != "active" and left() == [])
    assert refused(BASE)


def test_a_restart_is_a_stop_and_a_start(fleet: None) -> None:
    keeper = main_pid("atoll-keeper")
    ctl("restart", "atoll")
    eventually(running)
    assert main_pid("atoll-keeper") not in (0, keeper)


def test_the_management_port_is_never_refused_with_the_socket_unit() -> None:
    """The first connection starts the daemon, and one during a crash waits for the next."""
    ctl("stop", *UNITS_OF_OURS)
    ctl("start", "atoll.socket")
    assert main_pid("atoll") == 0
    eventually(running)
    before = main_pid("atoll")
    os.kill(before, signal.SIGKILL)
    assert httpx.get(f"http://127.0.0.1:{API}/health", timeout=LIMIT).status_code == 200
    assert main_pid("atoll") != before
    ctl("stop", *UNITS_OF_OURS)
