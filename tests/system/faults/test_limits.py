"""Rows 9 and 12 of the fault matrix: an agent that takes all processes, or all memory."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.fakes.census import family
from tests.fakes.daemon import Daemon, add_agent, eventually, running
from tests.fakes.history import causes_of
from tests.fakes.holds import watching
from tests.fakes.stubs import Stub

PIDS = 60
DEEP = 9
"""The bomb is of 2 ** DEEP processes at most: a limit that fails must not fell the machine."""
BOMB = """
_BOMB = '''
import os, signal, time
depth = 0
mine = 0
while True:
    if depth < %d and mine < 2:
        try:
            if os.fork() == 0:
                depth, mine = depth + 1, 0
            else:
                mine += 1
        except OSError:
            time.sleep(0.005)
    else:
        time.sleep(0.005)
    while mine:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            break
        mine -= 1
'''
_when("explode", lambda: _python(_BOMB))
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Bystander")
    return daemon


def needs_cgroup(daemon: Daemon, limit: str) -> None:
    how = str(daemon.row("stub")["limits"][limit])
    if not how.startswith("cgroup"):
        pytest.skip(f"no control group can be made here: the {limit} limit is {how}")


@pytest.mark.timeout(120)
def test_row_09_a_fork_bomb_is_held_by_its_agents_limit_and_ends_with_it(daemon: Daemon) -> None:
    stub = Stub(daemon, "Stub", BOMB % DEEP, f"[resources]\npids_limit = {PIDS}\n")
    with running(daemon):
        needs_cgroup(daemon, "pids")
        calm = len(family(daemon))
        with watching(daemon, touched=["stub"]) as watch:
            agent = daemon.units()["stub"]
            stub.give("explode")
            eventually(lambda: len(family(daemon)) > calm + PIDS // 2, why="no bomb")
            most = 0
            until = time.monotonic() + 3
            while time.monotonic() < until:
                most = max(most, len(family(daemon)))
                assert daemon.chat(daemon.row("bystander")["port"]) == "Hello from Bystander"
            assert most <= calm + PIDS
            add_agent(daemon.agents, "Newcomer")
            eventually(lambda: "newcomer" in daemon.units(), why="nobody else can start")
            assert daemon.units()["stub"] == agent, "its own limit, its own affair"
            os.kill(agent, signal.SIGKILL)
            daemon.wait_for("stub", phase="running", restarts=1)
            eventually(lambda: len(family(daemon)) <= calm + 1, 5, "the whole bomb goes with it")
        assert watch.slowest < 1


HUNGRY = """
def _eat():
    eaten = []
    while True:  # in small bites: its loop must go on, or it would be replaced for that
        eaten.append(bytearray(b"x") * (1 << 20))
        _time.sleep(0)

_when("eat", _eat)
"""


@pytest.mark.parametrize("spawn", ["fork", "exec"])
def test_row_12_an_agent_that_ran_out_of_memory_is_said_to_have(daemon: Daemon, spawn: str) -> None:
    more = f'[resources]\nmemory_limit = "200MB"\n[deployment]\nspawn = "{spawn}"\n'
    stub = Stub(daemon, "Stub", HUNGRY, more)
    with running(daemon):
        needs_cgroup(daemon, "memory")
        with watching(daemon, touched=["stub"]):
            stub.give("eat")
            row = daemon.wait_for("stub", phase="running", restarts=1)
            assert row["last_exit"]["signal"] == "SIGKILL"
            assert "oom-killed" in str(row["last_exit"]["reason"])
            assert any("oom-killed" in cause for cause in causes_of(daemon, "stub"))
            os.kill(daemon.units()["stub"], signal.SIGKILL)
            row = daemon.wait_for("stub", phase="running", restarts=2)
            assert "oom-killed" not in str(row["last_exit"]["reason"]), "this one was a mere kill"
