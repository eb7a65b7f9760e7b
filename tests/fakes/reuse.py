"""Row 11 inside its pid namespace: strangers get the pids that the fleet had a moment ago.

    unshare --fork --pid --mount-proc python -m tests.fakes.reuse FOLDER

The namespace counts its pids only up to MOST, so that each comes back soon; the one
that is wanted comes at once, by ns_last_pid (proc(5)). Ends with 0 when no stranger
was ever signalled.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import NamedTuple, NoReturn

from atoll_supervisor.keeper.proc import stat_of
from tests.fakes.daemon import Daemon, add_agent, eventually, running
from tests.fakes.holds import Watch, all_healthy, watching
from tests.fakes.stubs import Stub

FIRST, MOST = 300, 460
"""The kernel begins again at 300 when it has given out the last pid."""
_PID_MAX, _LAST_PID = (Path(f"/proc/sys/kernel/{name}") for name in ("pid_max", "ns_last_pid"))
_TRIES = 1_000
_HIT = 99
_HELPED = """
if _first():
    _helper = _python("import time; time.sleep(600)")
    _note("helper", _helper.pid)
    _when("end", lambda: (_helper.kill(), _helper.wait()))
"""


class Strangers:
    """Processes of somebody else that sit on pids which were the fleet's."""

    def __init__(self) -> None:
        self._pids: list[int] = []

    def take(self, pid: int) -> None:
        """Fork until one of them has this pid."""
        eventually(lambda: stat_of(pid) is None, 10, f"{pid} was not given back")
        for _ in range(_TRIES):
            if _fork_stranger(pid):
                self._pids.append(pid)
                return
        raise AssertionError(f"{pid} did not come back in {_TRIES} forks")

    def none_was_hit(self, when: str) -> None:
        hit = [(pid, end) for pid in self._pids if (end := os.waitpid(pid, os.WNOHANG)) != (0, 0)]
        assert hit == [], f"{when}: strangers were signalled: {hit}"

    def leave(self) -> None:
        while self._pids:
            pid = self._pids.pop()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _fork_stranger(wanted: int) -> bool:
    """A process with this pid that ends at any signal; one with another pid ends at once."""
    reading, writing = os.pipe()
    _LAST_PID.write_text(str(wanted - 1))
    pid = os.fork()
    if pid == 0:
        _sit(writing) if os.getpid() == wanted else os._exit(0)
    os.close(writing)
    if pid != wanted:
        os.waitpid(pid, 0)
    sits = bool(os.read(reading, 1))
    os.close(reading)
    return sits


def _sit(writing: int) -> NoReturn:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        signal.signal(number, lambda *_: os._exit(_HIT))
    os.write(writing, b".")
    while True:
        signal.pause()


class Scene(NamedTuple):
    """A fleet under watch, and who is after its pids."""

    daemon: Daemon
    helped: Stub
    watch: Watch
    strangers: Strangers


def fleet(folder: Path) -> None:
    """Every way in which a pid that somebody remembers can have become a stranger's."""
    daemon = Daemon(folder)
    for name in ("one", "two"):
        add_agent(daemon.agents, name)
    helped = Stub(daemon, "Helped", _HELPED)
    with running(daemon), watching(daemon, touched=["one", "two", helped.slug]) as watch:
        assert min(daemon.units().values()) >= FIRST, "else it would never come back"
        scene = Scene(daemon, helped, watch, Strangers())
        for step in (of_a_helper, asleep, dead, without_keeper):
            step(scene)
            all_healthy(daemon)
            scene.strangers.none_was_hit(step.__name__)
            scene.strangers.leave()


def of_a_helper(scene: Scene) -> None:
    """What was below an agent once is not, when the agent is killed with all below it."""
    daemon, helped = scene.daemon, scene.helped
    helped.give("end")
    scene.strangers.take(helped.pids("helper")[0])
    os.kill(daemon.units()[helped.slug], signal.SIGKILL)
    daemon.wait_for(helped.slug, phase="running", restarts=1)


def asleep(scene: Scene) -> None:
    """An agent ends, and an operator has asked for a stop of it, before the daemon can know."""
    daemon = scene.daemon
    assert daemon.process is not None
    pid = daemon.units()["one"]
    with scene.watch.daemon_away():
        daemon.process.send_signal(signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        scene.strangers.take(pid)
        asked = threading.Thread(target=daemon.post, args=("/api/v1/agents/one/stop",))
        asked.start()
        daemon.process.send_signal(signal.SIGCONT)
        asked.join(30)
    daemon.wait_for("one", phase="stopped")
    daemon.post("/api/v1/agents/one/start").raise_for_status()


def dead(scene: Scene) -> None:
    """The pids of an agent that a daemon is going to adopt, and of the daemon before it."""
    daemon = scene.daemon
    assert daemon.process is not None
    pids = [daemon.units()["two"], daemon.process.pid]
    with scene.watch.daemon_away():
        daemon.stop(signal.SIGKILL)
        os.kill(pids[0], signal.SIGKILL)
        for pid in pids:
            scene.strangers.take(pid)
        assert daemon.run("ps").returncode == 3, "there is no daemon, whoever has its pid"
        daemon.start()
    daemon.wait_for("two", phase="running", restarts=1)
    daemon.post("/api/v1/agents/two/restart").raise_for_status()


def without_keeper(scene: Scene) -> None:
    """Everything that was: what the next keeper sweeps up must not be strangers."""
    daemon = scene.daemon
    pids = [daemon.keeper, *daemon.units().values()]
    with scene.watch.daemon_away():
        daemon.stop(signal.SIGKILL)
        os.kill(pids[0], signal.SIGKILL)
        for pid in pids:
            scene.strangers.take(pid)
        daemon.start()


def main() -> int:
    """The first process of a namespace must bury orphans, so a second one does the work."""
    worker = os.fork()
    if worker == 0:
        _PID_MAX.write_text(str(MOST))
        _LAST_PID.write_text(str(FIRST))
        fleet(Path(sys.argv[1]))
        return 0
    while True:
        pid, status = os.wait()
        if pid == worker:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
