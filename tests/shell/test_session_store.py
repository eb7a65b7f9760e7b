"""Sessions in a real SQLite file."""

import subprocess
import sys
from pathlib import Path

from atoll.adapters.session_store import MAX_SESSIONS, SqliteSessions
from atoll.wire.messages import Call, Message
from tests.fakes.ports import FakeClock

TALK = (
    Message(role="user", content="hé 👋", images=("aGk=",)),
    Message(role="assistant", calls=(Call("call_1", "t", {"a": [1, None]}),)),
)


def store(folder: Path, clock: FakeClock | None = None) -> SqliteSessions:
    return SqliteSessions(folder / "agents" / "otto.db", 60.0, clock or FakeClock())


def test_a_conversation_comes_back_as_it_was(tmp_path: Path) -> None:
    sessions = store(tmp_path)
    sessions.save("a", TALK)
    assert sessions.load("a") == TALK
    assert sessions.load("b") is None
    assert sessions.count() == 1


def test_a_session_is_unknown_the_moment_its_time_is_over(tmp_path: Path) -> None:
    clock = FakeClock()
    sessions = store(tmp_path, clock)
    sessions.save("a", TALK)
    clock.epoch += 59.9
    assert sessions.load("a") == TALK
    clock.epoch += 0.2
    assert sessions.load("a") is None
    assert sessions.count() == 0


def test_reading_does_not_extend_a_session(tmp_path: Path) -> None:
    clock = FakeClock()
    sessions = store(tmp_path, clock)
    sessions.save("a", TALK)
    for _ in range(3):
        clock.epoch += 19
        assert sessions.load("a") == TALK
    clock.epoch += 19
    assert sessions.load("a") is None


def test_cleanup_deletes_the_expired_ones_and_counts_them(tmp_path: Path) -> None:
    clock = FakeClock()
    sessions = store(tmp_path, clock)
    sessions.save("old", TALK)
    clock.epoch += 61
    sessions.save("new", TALK)
    assert sessions.cleanup() == 1
    assert sessions.cleanup() == 0
    assert sessions.load("new") == TALK


def test_the_longest_unused_go_when_there_are_too_many(tmp_path: Path) -> None:
    clock = FakeClock()
    sessions = store(tmp_path, clock)
    for number in range(MAX_SESSIONS + 2):
        clock.epoch += 0.001
        sessions.save(str(number), ())
    assert sessions.count() == MAX_SESSIONS
    assert sessions.load("1") is None
    assert sessions.load("2") == ()


def test_what_was_saved_survives_kill_9(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys\n"
        "from atoll.adapters.session_store import SqliteSessions\n"
        "from atoll.wire.messages import Message\n"
        "from tests.fakes.ports import FakeClock\n"
        "s = SqliteSessions(pathlib.Path(sys.argv[1]), 60.0, FakeClock())\n"
        "s.save('a', (Message(role='user', content='kept'),))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "agents" / "otto.db"
    done = subprocess.run([sys.executable, "-c", code, str(path)], timeout=30)
    assert done.returncode == -9
    assert store(tmp_path).load("a") == (Message(role="user", content="kept"),)
