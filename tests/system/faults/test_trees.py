"""Rows 7, 8, 10 and 11 of the fault matrix: what an agent leaves behind, and whose pid it was."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from atoll_supervisor.keeper.proc import stat_of
from tests.fakes.census import children
from tests.fakes.daemon import Daemon, add_agent, eventually, running
from tests.fakes.history import events_of
from tests.fakes.holds import watching
from tests.fakes.keeper import is_dead
from tests.fakes.stubs import Stub

ROOT = Path(__file__).parents[3]
PID_MAX_IS_LOCAL = (6, 14)
NAMESPACE = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Bystander")
    return daemon


FAMILY = """
    _nap = "import time; time.sleep(600)"
    _more = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {_nap!r}]); {_nap}"

    if _first():
        _python(_more)
        _python(_nap, start_new_session=True)
        _python(_more, process_group=0, env={})
"""


@pytest.mark.parametrize("spawn", ["fork", "exec"])
@pytest.mark.parametrize("end", ["killed", "by itself"])
def test_row_07_what_an_agent_forked_is_gone_when_it_is(
    daemon: Daemon, spawn: str, end: str
) -> None:
    """Children and grandchildren, in its session and out of it, with an environment and without."""
    body = FAMILY + '\n    _when("leave", lambda: _os._exit(3))\n'
    stub = Stub(daemon, "Stub", body, f'[deployment]\nspawn = "{spawn}"\n')
    with running(daemon), watching(daemon, touched=["stub"]):
        agent = daemon.units()["stub"]
        eventually(lambda: len(_below(agent)) == 5)
        tree = _below(agent)
        if end == "killed":
            os.kill(agent, signal.SIGKILL)
        else:
            stub.give("leave")
        daemon.wait_for("stub", phase="running", restarts=1)
        assert [pid for pid in tree if not is_dead(pid)] == [], "none outlives it"
        assert _below(daemon.units()["stub"]) == set()


def _below(pid: int) -> set[int]:
    found = children(pid)
    return found.union(*map(_below, found))


# Not indented: there is a program in it.
ESCAPE = """
_ESCAPE = '''
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
os.chdir("/")
os.closerange(0, 3)
with open(sys.argv[1] + ".tmp", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
time.sleep(600)
'''

if _first():
    for _name, _env in (("plain", None), ("bare", {})):
        _command = [_sys.executable, "-S", "-c", _ESCAPE, str(_SIGNS / _name)]
        _subprocess.run(_command, env=_env, check=True)
"""


@pytest.mark.parametrize("spawn", ["fork", "exec"])
def test_row_08_a_grandchild_that_left_the_session_by_a_double_fork_is_found(
    daemon: Daemon, spawn: str
) -> None:
    """It is the keeper's child by then; while its agent lives it is let alone."""
    stub = Stub(daemon, "Stub", ESCAPE, f'[deployment]\nspawn = "{spawn}"\n')
    with running(daemon), watching(daemon, touched=["stub"]):
        escaped = [*stub.pids("plain"), *stub.pids("bare")]
        for pid in escaped:
            stat = stat_of(pid)
            assert stat is not None
            assert (stat.parent, stat.session != daemon.units()["stub"]) == (daemon.keeper, True)
        os.kill(daemon.units()["stub"], signal.SIGKILL)
        daemon.wait_for("stub", phase="running", restarts=1)
        eventually(lambda: not any(stat_of(pid) for pid in escaped), 5, "ended and buried")


ZOMBIES = 1000
BROOD = """
_BROOD = '''
import os, sys
for _ in range(%d):
    if os.fork() == 0:
        os._exit(7)
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
sys.stdin.read()
'''
_helpers = []

def _breed():
    (_SIGNS / "born.tmp").touch()
    command = [_sys.executable, "-S", "-c", _BROOD, str(_SIGNS / "born")]
    _helpers.append(_subprocess.Popen(command, stdin=_subprocess.PIPE))
    _note("helper", _helpers[0].pid)

def _orphan():
    _helpers[0].kill()
    _helpers[0].wait()

_when("breed", _breed)
_when("orphan", _orphan)
"""


@pytest.mark.timeout(120)
def test_row_10_a_thousand_zombies_are_buried_and_no_end_is_missed(daemon: Daemon) -> None:
    stub = Stub(daemon, "Stub", BROOD % ZOMBIES)
    others = [f"other{number}" for number in range(5)]
    for slug in others:
        add_agent(daemon.agents, slug)
    with running(daemon), watching(daemon, touched=others):
        stub.give("breed")
        stub.told("born")
        helper = stub.pids("helper")[0]
        assert len(children(helper)) == ZOMBIES
        stub.give("orphan")
        for slug in others:  # among a thousand ends these five must be noticed
            os.kill(daemon.units()[slug], signal.SIGKILL)
        for slug in others:
            row = daemon.wait_for(slug, phase="running", restarts=1)
            assert row["last_exit"]["signal"] == "SIGKILL"
            assert len([event for event in events_of(daemon, slug) if event["exit"]]) == 1
        eventually(lambda: len(children(daemon.keeper)) == 1 + len(daemon.units()), 10)


@pytest.mark.timeout(180)
def test_row_11_a_pid_that_has_become_somebody_elses_is_never_signalled(tmp_path: Path) -> None:
    """In a pid namespace where pids come back after a moment (see tests/fakes/reuse.py)."""
    if shutil.which("unshare") is None or subprocess.run([*NAMESPACE, "true"]).returncode:
        pytest.skip("wants pid namespaces: root, and unshare of the Debian package util-linux")
    major, minor = os.uname().release.split(".")[:2]
    if (int(major), int(minor)) < PID_MAX_IS_LOCAL:
        pytest.skip("wants a kernel where each pid namespace has its own pid_max (6.14)")
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-m", "tests.fakes.reuse", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
