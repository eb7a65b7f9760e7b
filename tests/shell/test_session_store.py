"""Sessions in a real SQLite file."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from atoll.adapters.session_store import MAX_SESSION_BYTES, MAX_SESSIONS, SqliteSessions
from atoll.errors import AgentError, TooLarge
from atoll.wire.memory import Memory, Summary
from atoll.wire.messages import Call, Message
from tests.fakes.ports import FakeClock

pytestmark = pytest.mark.anyio

TALK = (
    Message(role="user", content="hé 👋", images=("aGk=",)),
    Message(role="assistant", calls=(Call("call_1", "t", {"a": [1, None]}),)),
)


def store(folder: Path, clock: FakeClock | None = None) -> SqliteSessions:
    return SqliteSessions(folder / "agents" / "otto.db", 60.0, clock or FakeClock())


async def test_a_conversation_comes_back_as_it_was(tmp_path: Path) -> None:
    sessions = store(tmp_path)
    await sessions.save("a", TALK)
    assert await sessions.load("a") == TALK
    assert await sessions.load("b") is None
    assert await sessions.count() == 1


async def test_a_session_is_unknown_the_moment_its_time_is_over(tmp_path: Path) -> None:
    clock = FakeClock()
    sessions = store(tmp_path, clock)
    await sessions.save("a", TALK)
    clock.epoch += 59.9
    assert await sessions.load("a") == TALK
    clock.epoch += 0.2
    assert await sessions.load("a") is None
    assert await sessions.count() == 0


async def test_reading_does_not_extend_a_session(tmp_path: Path) -> None:
    clock = FakeClock()
    sessions = store(tmp_path, clock)
    await sessions.save("a", TALK)
    for _ in range(3):
        clock.epoch += 19
        assert await sessions.load("a") == TALK
    clock.epoch += 19
    assert await sessions.load("a") is None


async def test_cleanup_deletes_the_expired_ones_and_counts_them(tmp_path: Path) -> None:
    clock = FakeClock()
    sessions = store(tmp_path, clock)
    await sessions.save("old", TALK)
    clock.epoch += 61
    assert await sessions.cleanup() == 1
    assert await sessions.cleanup() == 0
    await sessions.save("new", TALK)
    assert await sessions.cleanup() == 0
    assert await sessions.load("new") == TALK


async def test_the_longest_unused_go_when_there_are_too_many(tmp_path: Path) -> None:
    clock = FakeClock()
    sessions = store(tmp_path, clock)
    for number in range(MAX_SESSIONS + 2):
        clock.epoch += 0.001
        await sessions.save(str(number), ())
    assert await sessions.count() == MAX_SESSIONS
    assert await sessions.load("1") is None
    assert await sessions.load("2") == ()


async def test_what_was_saved_survives_kill_9(tmp_path: Path) -> None:
    code = (
        "import asyncio, os, pathlib, signal, sys\n"
        "from atoll.adapters.session_store import SqliteSessions\n"
        "from atoll.wire.memory import Memory, Summary\n"
        "from atoll.wire.messages import Message\n"
        "from tests.fakes.ports import FakeClock\n"
        "s = SqliteSessions(pathlib.Path(sys.argv[1]), 60.0, FakeClock())\n"
        "memory = Memory(messages=(Message(role='user', content='kept'),))\n"
        "asyncio.run(s.keep('a', memory))\n"
        "memory = Memory(summary=Summary(text='short', covers=1), tokens=9)\n"
        "asyncio.run(s.note('a', memory))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "agents" / "otto.db"
    done = subprocess.run([sys.executable, "-c", code, str(path)], timeout=30)
    assert done.returncode == -9
    assert await store(tmp_path).recall("a") == Memory(
        messages=(Message(role="user", content="kept"),),
        summary=Summary(text="short", covers=1),
        tokens=9,
    )


def rows(folder: Path) -> list[str]:
    """The ids that are on the disk, expired or not."""
    db = sqlite3.connect(folder / "agents" / "otto.db")
    with closing(db):
        return [row[0] for row in db.execute("select id from session order by id")]


async def test_a_locked_file_is_an_error_and_never_holds_up_the_event_loop(tmp_path: Path) -> None:
    sessions = store(tmp_path)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    with closing(sqlite3.connect(tmp_path / "agents" / "otto.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        ticking = asyncio.create_task(tick())
        with pytest.raises(AgentError, match=r"otto\.db failed: database is locked"):
            await sessions.save("a", TALK)
        ticking.cancel()
    assert ticks > 20
    await sessions.save("a", TALK)
    assert await sessions.load("a") == TALK


async def test_without_sessions_there_is_neither_a_file_nor_a_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    sessions = store(tmp_path)
    assert (await sessions.load("a"), await sessions.count(), await sessions.cleanup()) == (
        None,
        0,
        0,
    )
    assert not (tmp_path / "agents" / "otto.db").exists()
    assert set(threading.enumerate()) <= before, "others may end meanwhile"
    sessions.close()


async def test_a_session_that_another_process_began_is_found(tmp_path: Path) -> None:
    """An agent and its replacement share the file, whichever of them makes it."""
    old, new = store(tmp_path), store(tmp_path)
    assert await new.count() == 0
    await old.save("a", TALK)
    assert (await new.load("a"), await new.count()) == (TALK, 1)
    await asyncio.gather(new.save("b", TALK), old.save("c", TALK))
    assert await old.count() == await new.count() == 3


async def test_two_that_make_the_file_at_the_same_time_both_keep_their_first_session(
    tmp_path: Path,
) -> None:
    stores = [store(tmp_path) for _ in range(8)]
    await asyncio.gather(*(each.save(str(n), TALK) for n, each in enumerate(stores)))
    assert await stores[0].count() == len(stores)


async def test_a_file_that_was_busy_at_the_start_serves_later(tmp_path: Path) -> None:
    first = store(tmp_path)
    await first.save("a", TALK)
    with closing(sqlite3.connect(tmp_path / "agents" / "otto.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        sessions = store(tmp_path)
        assert await sessions.load("a") == TALK
    await sessions.save("b", TALK)
    assert await sessions.count() == 2


def test_a_file_that_is_no_database_is_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "otto.db").write_bytes(b"no database at all " * 100)
    with pytest.raises(AgentError, match=r"otto\.db: .* move that file away, or set ATOLL_STATE"):
        store(tmp_path)


def test_a_directory_that_cannot_be_made_is_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "agents").write_text("a file")
    with pytest.raises(AgentError, match="set ATOLL_STATE_DIR to a directory of your own"):
        store(tmp_path)


async def test_saving_and_opening_delete_what_has_expired(tmp_path: Path) -> None:
    clock = FakeClock()
    sessions = store(tmp_path, clock)
    await sessions.save("a", TALK)
    clock.epoch += 61
    await sessions.save("b", TALK)
    assert rows(tmp_path) == ["b"]
    sessions.close()
    clock.epoch += 61
    store(tmp_path, clock).close()
    assert rows(tmp_path) == []


async def test_a_conversation_that_is_too_long_is_not_kept(tmp_path: Path) -> None:
    sessions = store(tmp_path)
    await sessions.save("b", ())
    with pytest.raises(TooLarge):
        await sessions.save("a", (Message(role="user", content="x" * MAX_SESSION_BYTES),))
    assert rows(tmp_path) == ["b"]


async def test_the_longest_unused_go_when_they_take_too_many_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atoll.adapters.session_store.MAX_BYTES", 2500)
    clock = FakeClock()
    sessions = store(tmp_path, clock)
    for name in "abcd":
        clock.epoch += 1
        await sessions.save(name, (Message(role="user", content="x" * 1000),))
    assert rows(tmp_path) == ["c", "d"]
    clock.epoch -= 10  # somebody sets the clock back: what was just written still stays
    await sessions.save("e", (Message(role="user", content="x" * 1000),))
    assert rows(tmp_path) == ["d", "e"]


async def test_a_file_from_before_sessions_told_their_age_is_read_and_written(
    tmp_path: Path,
) -> None:
    (tmp_path / "agents").mkdir()
    with closing(sqlite3.connect(tmp_path / "agents" / "otto.db")) as db:
        db.execute("create table session (id text primary key, used_at real, messages blob)")
        db.execute("insert into session values ('a', 1800000000.0, '[]')")
        db.commit()
    sessions = store(tmp_path)
    old = await sessions.about("a")
    await sessions.save("a", TALK)
    new = await sessions.about("a")
    assert old is not None
    assert new is not None
    assert (old.created_at, old.messages, new.messages) == (old.used_at, 0, 2)
    assert await sessions.recall("a") == Memory(messages=TALK)
    sessions.close()


MEMORY = Memory(messages=TALK, summary=Summary(text="hé", covers=1, tried=2), tokens=7)


async def test_summary_and_tokens_come_back_with_the_messages(tmp_path: Path) -> None:
    sessions = store(tmp_path)
    await sessions.keep("a", MEMORY)
    sessions.close()
    again = store(tmp_path)
    assert await again.recall("a") == MEMORY
    assert await again.recall("b") is None
    info = await again.about("a")
    assert info is not None
    assert (info.messages, info.tokens) == (2, 7)


async def test_a_note_changes_what_stands_beside_and_makes_nothing_live_longer(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    sessions = store(tmp_path, clock)
    await sessions.note("a", MEMORY)
    assert await sessions.recall("a") is None, "there is no session to note it for"
    await sessions.save("a", TALK)
    clock.epoch += 59
    noted = msgspec.structs.replace(MEMORY, messages=())
    await sessions.note("a", noted)
    assert await sessions.recall("a") == MEMORY
    clock.epoch += 2
    await sessions.note("a", MEMORY)
    assert await sessions.recall("a") is None


async def test_a_session_leaves_nothing_to_the_next_one_of_its_name(tmp_path: Path) -> None:
    """It has expired, swept or not: neither its words nor its age nor its tokens go on."""
    clock = FakeClock()
    sessions = store(tmp_path, clock)
    await sessions.keep("a", MEMORY)
    clock.epoch += 60
    await sessions.save("a", TALK)
    assert await sessions.recall("a") == Memory(messages=TALK)
    info = await sessions.about("a")
    assert info is not None
    assert info.created_at == info.used_at == clock.epoch


async def test_expiry_is_exact_to_the_moment_for_every_question(tmp_path: Path) -> None:
    """With a clock that is held: the last moment of its life, and the first one after it."""
    clock = FakeClock()
    clock.epoch = 1_800_000_000.0
    sessions = store(tmp_path, clock)
    await sessions.save("a", TALK)
    clock.epoch = 1_800_000_059.999
    assert await sessions.recall("a") is not None
    assert await sessions.about("a") is not None
    assert (len(await sessions.listed()), await sessions.count()) == (1, 1)
    assert await sessions.cleanup() == 0
    clock.epoch = 1_800_000_060.0
    assert await sessions.recall("a") is None
    assert await sessions.about("a") is None
    assert (await sessions.listed(), await sessions.count()) == ((), 0)
    assert not await sessions.delete("a")
    assert await sessions.cleanup() == 1


async def test_what_stands_for_one_answer_goes_before_any_conversation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of /api/generate, whose every answer is kept, does not push sessions out."""
    monkeypatch.setattr("atoll.adapters.session_store.MAX_SESSIONS", 3)
    clock = FakeClock()
    sessions = store(tmp_path, clock)
    for name in ("a", "context-1", "b", "context-2", "context-3"):
        clock.epoch += 1
        await sessions.save(name, TALK)
    assert rows(tmp_path) == ["a", "b", "context-3"]
    await sessions.save("c", TALK)
    assert rows(tmp_path) == ["a", "b", "c"]
    await sessions.save("context-4", TALK)
    assert rows(tmp_path) == ["b", "c", "context-4"]


def journal_of(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "agents" / "otto.db")) as db:
        return str(db.execute("pragma journal_mode").fetchone()[0])


async def test_a_file_that_several_machines_open_has_no_shared_memory(tmp_path: Path) -> None:
    """And stays so when its agent is back on this machine: a job of it may still be there."""
    path = tmp_path / "agents" / "otto.db"
    here = store(tmp_path)
    await here.save("a", TALK)
    assert journal_of(tmp_path) == "wal"
    job = SqliteSessions(path, 60.0, FakeClock(), across_machines=True)
    loading = asyncio.create_task(job.load("a"))
    await asyncio.sleep(0.05)
    assert not loading.done(), "it waits until nobody has the file open in the old way"
    here.close()
    assert await loading == TALK
    assert journal_of(tmp_path) == "delete"
    back = store(tmp_path)
    await back.save("b", TALK)
    await job.save("c", TALK)
    assert await back.count() == 3
    assert journal_of(tmp_path) == "delete"
    job.close()
    back.close()
