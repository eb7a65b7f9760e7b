"""Rows 13 to 16: the daemon or its keeper is killed or stopped, at any moment, or is not alone."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from atoll.config.places import places_of
from atoll_supervisor.keeper.beats import SILENCE
from atoll_supervisor.keeper.command import keeper_command
from atoll_supervisor.keeper.main import OCCUPIED
from tests.fakes.daemon import Daemon, add_agent, are_gone, eventually, running
from tests.fakes.holds import (
    Watch,
    all_healthy,
    no_leftovers,
    rows_of,
    state_file_is_true,
    watching,
)
from tests.fakes.keeper import is_dead
from tests.fakes.strace import STRACE, killing, recording

EXHAUSTIVE = bool(os.environ.get("ATOLL_EXHAUSTIVE"))
BOTH = pytest.mark.parametrize("who", ["daemon", "keeper"])
STOPPED_FOR = 60.0 if EXHAUSTIVE else 2 * SILENCE + 2
"""Seconds. Long enough that everything that judges by time would have judged wrongly: an agent
is silent after 3 s, and unhealthy after three probes that are a second apart."""
DIES_WITHIN = 0.2
"""Seconds from a signal to the end of a process."""
SAMPLE = 6
"""How many of the moments of row 14 are tried, of each process."""


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Toggled", "[deployment]\nhealth_check_interval = 1\n")
    add_agent(daemon.agents, "Other", "[deployment]\nhealth_check_interval = 1\n")
    return daemon


def pid_of(daemon: Daemon, who: str) -> int:
    assert daemon.process is not None
    return daemon.process.pid if who == "daemon" else daemon.keeper


@BOTH
def test_row_13_whoever_is_killed_agents_are_kept_or_all_back_and_none_is_there_twice(
    daemon: Daemon, who: str
) -> None:
    """The daemon's death touches no agent; the keeper's takes all along, and all come back."""
    touched = [] if who == "daemon" else ["toggled", "other"]
    with running(daemon), watching(daemon, touched) as watch:
        before = rows_of(daemon)
        for _ in range(3):
            os.kill(daemon.units()["toggled"], 0)
            if who == "daemon":
                with watch.daemon_away():
                    daemon.stop(signal.SIGKILL)
                    for row in before.values():
                        assert daemon.chat(row["port"]), "agents need no daemon"
                    daemon.start()
                continue
            old, tree = rows_of(daemon), daemon.tree()
            os.kill(daemon.keeper, signal.SIGKILL)
            eventually(partial(are_gone, tree))
            for slug, row in old.items():
                again = int(str(row["restarts"])) + 1
                back = daemon.wait_for(slug, phase="running", restarts=again)
                assert back["port"] == row["port"]
                assert "keeper" in str(back["last_exit"])
        after = rows_of(daemon)
        if who == "daemon":
            assert [row["restarts"] for row in after.values()] == [0, 0]
            assert "took over 2 processes" in daemon.log.read_text()


@BOTH
def test_row_15_whoever_stood_still_judges_nobody_by_the_time_it_slept(
    daemon: Daemon, who: str
) -> None:
    with running(daemon), watching(daemon) as watch:
        ports = [row["port"] for row in rows_of(daemon).values()]
        pid = pid_of(daemon, who)
        with stopped(watch, pid, who):
            until = time.monotonic() + STOPPED_FOR
            while time.monotonic() < until:
                assert [daemon.chat(port) for port in ports], "agents go on meanwhile"
                time.sleep(0.2)
        eventually(lambda: daemon.get("/health").status_code == 200)
        judged = time.monotonic() + SILENCE + 1  # in which a wrong judgement would come
        while time.monotonic() < judged:
            assert {row["phase"] for row in rows_of(daemon).values()} == {"running"}
            time.sleep(0.1)
        assert "heartbeat" not in daemon.log.read_text()
        assert "probe" not in daemon.log.read_text()


@contextmanager
def stopped(watch: Watch, pid: int, who: str) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        if who == "keeper":  # which the API does not need to answer
            yield
        else:
            with watch.daemon_away():
                yield
                os.kill(pid, signal.SIGCONT)
                eventually(lambda: watch.daemon.get("/health").status_code == 200)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_row_16_a_second_daemon_or_keeper_leaves_at_once_and_the_first_is_undisturbed(
    daemon: Daemon,
) -> None:
    with running(daemon), watching(daemon):
        assert daemon.process is not None
        command = [sys.executable, "-m", "atoll_supervisor", "up"]
        seconds = [
            subprocess.Popen(
                command,
                env=daemon.environment | more,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for more in ({}, {}, {"ATOLL_API_PORT": str(daemon.api_port - 1)})
        ]
        for second in seconds:
            _, told = second.communicate(timeout=30)
            assert second.returncode == 1
            assert f"pid {daemon.process.pid}" in told
            assert f"port {daemon.api_port}" in told
            assert "Traceback" not in told
        log = daemon.state / "second.log"
        keeper = subprocess.run(
            keeper_command(daemon.keeper_socket, log), stdin=subprocess.DEVNULL, timeout=30
        )
        assert keeper.returncode == OCCUPIED
        assert "another keeper has" in log.read_text()
        lock = str(places_of(daemon.environment, os.geteuid()).lock)
        holders = [one.pid for one in daemon.tree() if lock in files_of(one.pid)]
        assert holders == [], "no child has inherited the lock"
        assert lock in files_of(daemon.process.pid)


def files_of(pid: int) -> set[str]:
    """What the process has open."""
    return {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}


@STRACE
@BOTH
@pytest.mark.timeout(6 * 3600 if EXHAUSTIVE else 180)
def test_row_14_killed_at_any_system_call_of_any_act_the_fleet_is_whole_afterwards(
    daemon: Daemon, who: str, tmp_path: Path
) -> None:
    seed = int(os.environ.get("ATOLL_SEED", random.randrange(1 << 32)))
    trace = tmp_path / "strace"
    touched = ["toggled"] if who == "daemon" else ["toggled", "other"]
    with running(daemon), watching(daemon, touched, handed_over=["toggled"]) as watch:
        moments = all_moments(daemon, who, trace)
        chosen = moments if EXHAUSTIVE else random.Random(seed).sample(moments, SAMPLE)
        print(f"ATOLL_SEED={seed}: {len(chosen)} of {len(moments)} moments: {chosen}")
        for moment in chosen:
            with blaming(f"{moment}, ATOLL_SEED={seed}"):
                prepare(daemon, moment.verb)
                with watch.daemon_away():
                    victim = pid_of(daemon, who)
                    with killing(victim, trace, moment.call, moment.nth):
                        acknowledged = ask(daemon, moment.verb)
                    after_death(daemon, who, victim)
                if acknowledged:
                    wanted = "stopped" if moment.verb == "stop" else "running"
                    daemon.wait_for("toggled", status=wanted)
                all_healthy(daemon)
                no_leftovers(daemon)
                state_file_is_true(daemon)


class Moment(NamedTuple):
    """The `nth` time, in one thread, that `call` is made while `verb` is done."""

    verb: str
    call: str
    nth: int


VERBS = ("start", "stop", "restart", "reload")


def all_moments(daemon: Daemon, who: str, trace: Path) -> list[Moment]:
    """Each system call that each act made when it was looked at."""
    moments = []
    for verb in VERBS:
        prepare(daemon, verb)
        with recording(pid_of(daemon, who), trace) as made:
            assert ask(daemon, verb)
            daemon.wait_for("toggled", status="stopped" if verb == "stop" else "running")
        counts = made.counts().items()
        moments += [Moment(verb, call, nth + 1) for call, most in counts for nth in range(most)]
    return moments


def prepare(daemon: Daemon, verb: str) -> None:
    """Stop what is to be started; for all else it has to run."""
    before = "stop" if verb == "start" else "start"
    daemon.post(f"/api/v1/agents/toggled/{before}").raise_for_status()
    if verb == "reload":  # of which something comes
        manifest = daemon.agents / "toggled" / "agent.toml"
        text = manifest.read_text().replace("temperature = 0.5\n", "")
        more = "" if "temperature" in manifest.read_text() else "temperature = 0.5\n"
        manifest.write_text(text.replace("[llm]\n", f"[llm]\n{more}"))


def ask(daemon: Daemon, verb: str) -> bool:
    """Whether it was acknowledged; a daemon that dies of it is started again.

    In a thread: a request that no daemon has accepted yet is the next one's.
    """
    path = "/api/v1/reload" if verb == "reload" else f"/api/v1/agents/toggled/{verb}"
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_succeeds, daemon, path)
        eventually(lambda: asked.done() or is_over(daemon), 60)
        if is_over(daemon):
            daemon.start()
        return asked.result()


def after_death(daemon: Daemon, who: str, victim: int) -> None:
    """Another one is there, if this one died, were it after it had answered."""
    with suppress(AssertionError):
        eventually(lambda: is_dead(victim), DIES_WITHIN)
    if is_dead(victim) and who == "keeper":
        eventually(lambda: has_keeper_but(daemon, victim), why="there is no other keeper")
    elif is_dead(victim) and pid_of(daemon, who) == victim:
        daemon.stop(signal.SIGKILL)
        daemon.start()


def has_keeper_but(daemon: Daemon, victim: int) -> bool:
    with suppress(OSError):
        return daemon.keeper != victim
    return False


def _succeeds(daemon: Daemon, path: str) -> bool:
    try:
        return daemon.post(path).is_success
    except httpx.TransportError:
        return False


def is_over(daemon: Daemon) -> bool:
    assert daemon.process is not None
    return daemon.process.poll() is not None


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Say at which moment it was, if something does not hold."""
    try:
        yield
    except Exception as error:
        error.add_note(what)
        raise
