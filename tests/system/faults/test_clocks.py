"""Rows 17 and 18: clocks jump, and nobody is judged by what they say."""

import os
import shutil
import signal
import time
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from atoll_supervisor.keeper.beats import SILENCE
from tests.fakes.daemon import Daemon, add_agent, running
from tests.fakes.faketime import FAKETIME, Shifted
from tests.fakes.history import events_of
from tests.fakes.holds import Row, all_healthy, rows_of, watching

DAY = 86_400.0
AGENTS = ("one", "two")
TOLERANCE = 60.0
"""Seconds that an answer may take on a busy machine; a jump is at least a day."""
TIME_NAMESPACE = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not Path("/proc/self/ns/time").exists(),
    reason="a time namespace needs root, unshare of the package util-linux and a kernel with it",
)


def add_agents(daemon: Daemon) -> None:
    for slug in AGENTS:
        add_agent(daemon.agents, slug, "[deployment]\nhealth_check_interval = 1\n")


def ask(row: Row, context: object = None) -> object:
    """A turn; the context by which the agent remembers the conversation."""
    body = {"model": row["slug"], "prompt": "hi", "stream": False}
    body |= {"context": context} if context else {}
    answer = httpx.post(f"{row['url']}/api/generate", json=body, timeout=30)
    assert answer.is_success, answer.text
    return answer.json()["context"]


def uptimes(daemon: Daemon) -> dict[str, float]:
    """What daemon and agents say of how long they have run, less how long that really was."""
    now = time.monotonic()
    rows = rows_of(daemon)
    told = {"daemon": float(daemon.get("/health").json()["uptime"])}
    for slug in AGENTS:
        told[f"row of {slug}"] = float(str(rows[slug]["uptime_s"]))
        told[slug] = float(httpx.get(f"{rows[slug]['url']}/health", timeout=30).json()["uptime"])
    return {name: seconds - now for name, seconds in told.items()}


def unchanged(before: dict[str, float], after: dict[str, float]) -> None:
    moved = {name: after[name] - was for name, was in before.items()}
    assert all(abs(by) < TOLERANCE for by in moved.values()), moved


@FAKETIME
@pytest.mark.timeout(120)
def test_row_17_a_wall_clock_that_is_set_restarts_nobody_and_ends_no_session(
    tmp_path: Path,
) -> None:
    daemon = Shifted(tmp_path, wall_only=True)
    add_agents(daemon)
    add_agent(daemon.agents, "Killed")
    with running(daemon), watching(daemon, touched=["killed"]):
        contexts = {slug: ask(row) for slug, row in rows_of(daemon).items() if slug in AGENTS}
        before = uptimes(daemon)
        for jump in (DAY, -DAY, 30 * DAY, -30 * DAY):
            daemon.jump(jump)
            arrives(daemon, jump)
            rows = rows_of(daemon)
            contexts = {slug: ask(rows[slug], context) for slug, context in contexts.items()}
            unchanged(before, uptimes(daemon))
            time.sleep(1)  # a beat and a probe between two jumps
        os.kill(daemon.units()["killed"], signal.SIGKILL)
        daemon.wait_for("killed", phase="running", restarts=1)
        time.sleep(SILENCE + 1)  # in which a wrong judgement would come
        numbers = [event["id"] for event in events_of(daemon, "killed")]
        assert numbers == sorted(set(numbers)), "events stay in their order"


def arrives(daemon: Daemon, seconds: float) -> None:
    """Wait until daemon and agents really live in that other time."""
    until = time.monotonic() + 30
    while True:
        shifts = shifts_of(daemon)
        if all(abs(shift - seconds) < 60 for shift in shifts.values()):
            return
        assert time.monotonic() < until, f"{seconds:+g} s wanted: {shifts}"


def shifts_of(daemon: Daemon) -> dict[str, float]:
    """By how many seconds daemon and agents are off."""
    rows = rows_of(daemon)
    urls = {slug: str(rows[slug]["url"]) for slug in AGENTS} | {"daemon": daemon.url}
    stamps = {
        name: httpx.get(f"{url}/health", timeout=30).json()["timestamp"]
        for name, url in urls.items()
    }
    return {
        name: datetime.fromisoformat(stamp).timestamp() - time.time()
        for name, stamp in stamps.items()
    }


@FAKETIME
@TIME_NAMESPACE
@pytest.mark.timeout(120)
def test_row_18_a_monotonic_clock_that_jumps_is_a_pause_and_no_silence(tmp_path: Path) -> None:
    """As after a suspend: all at once in a fleet that runs, and between two daemons."""
    daemon = Shifted(tmp_path / "live", wall_only=False)
    add_agents(daemon)
    with running(daemon), watching(daemon):
        for jump in (60.0, 3600.0, DAY):
            daemon.jump(jump)
            arrives(daemon, jump)
            assert min(uptimes(daemon).values()) + time.monotonic() > jump, "it is monotonic, too"
            time.sleep(1)  # a beat and a probe between two jumps
        nobody_was_judged(daemon)

    (tmp_path / "later").mkdir()
    later = Daemon(tmp_path / "later")
    add_agents(later)
    with running(later), watching(later) as watch:
        for jump in (DAY, 0.0):
            with watch.daemon_away():
                later.stop(signal.SIGKILL)
                later.prefix = ("unshare", "--time", "--monotonic", str(int(jump)))
                later.start()
            assert is_elsewhen(later) == bool(jump)
            all_healthy(later)
            assert [row["restarts"] for row in rows_of(later).values()] == [0, 0]
        nobody_was_judged(later)


def is_elsewhen(daemon: Daemon) -> bool:
    """Whether the daemon has a monotonic clock other than its keeper's."""
    assert daemon.process is not None
    offsets = (Path(f"/proc/{pid}/timens_offsets") for pid in (daemon.process.pid, daemon.keeper))
    daemons, keepers = (path.read_text() for path in offsets)
    return daemons != keepers


def nobody_was_judged(daemon: Daemon) -> None:
    time.sleep(SILENCE + 1)  # in which a wrong judgement would come
    assert "heartbeat" not in daemon.log.read_text()
    assert "did not answer" not in daemon.log.read_text()
