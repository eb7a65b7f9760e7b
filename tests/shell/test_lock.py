"""One daemon per state directory, shown with real second processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from atoll_supervisor.keeper.proc import stat_of
from atoll_supervisor.shell.lock import UNKNOWN, AlreadyRunning, Lock, holder

ROOTS = os.pathsep.join(
    str(Path(__file__).parents[2] / folder) for folder in ("supervisor", "agent_runtime")
)
HOLD = """
import sys, signal
from pathlib import Path
from atoll_supervisor.shell.lock import Lock
lock = Lock.acquire(Path(sys.argv[1]), 8099, Path("/state"))
print("held", flush=True)
signal.pause()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run" / "lock")],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": ROOTS},
    )
    with process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_daemon_is_told_who_the_first_is(tmp_path, other):
    """The error names the holder's pid and how to stop it (faults.md row 16)."""
    path = tmp_path / "run" / "lock"
    with pytest.raises(AlreadyRunning, match=f"pid {other.pid}.*atoll down") as caught:
        Lock.acquire(path, 1, tmp_path)
    assert caught.value.holder == holder(path)
    found = holder(path)
    assert (found.pid, found.api_port, found.state_dir) == (other.pid, 8099, "/state")
    assert found.start_time == stat_of(other.pid).start_time


def test_the_lock_ends_with_its_holder(tmp_path, other):
    """kill -9 frees it: the left-over file counts for nothing."""
    path = tmp_path / "run" / "lock"
    other.send_signal(signal.SIGKILL)
    other.wait(10)
    assert path.read_text()
    assert holder(path) is None
    Lock.acquire(path, 1, tmp_path).release()


def test_a_child_does_not_inherit_it(tmp_path):
    """A process that outlives the daemon cannot keep the lock (supervision.md 5.4)."""
    path = tmp_path / "run" / "lock"
    lock = Lock.acquire(path, 1, tmp_path)
    nap = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    child = subprocess.Popen(nap, close_fds=False)
    lock.release()
    assert holder(path) is None
    child.kill()
    child.wait(10)


def test_asking_does_not_disturb(tmp_path):
    """holder() on a free, a missing and a held lock; and the port may be written down later."""
    path = tmp_path / "run" / "lock"
    assert holder(path) is None
    lock = Lock.acquire(path, 0, tmp_path)
    lock.describe(8099, tmp_path)
    assert holder(path).api_port == 8099
    lock.release()
    lock.release()
    assert holder(path) is None


def test_a_garbled_lock_file_still_locks(tmp_path, other):
    """The lock is the kernel's, not the text's."""
    path = tmp_path / "run" / "lock"
    path.write_text("{")
    with pytest.raises(AlreadyRunning, match="another daemon holds"):
        Lock.acquire(path, 1, tmp_path)


def test_a_held_lock_that_says_nothing_is_not_free(tmp_path, other):
    """Whoever asks must not take a living daemon for none."""
    path = tmp_path / "run" / "lock"
    path.write_text("")
    assert holder(path) == UNKNOWN
