"""Rows 1 to 6 of the fault matrix: an agent dies, never starts, hangs or will not go."""

import os
import signal
import statistics
import time
from pathlib import Path

import psutil
import pytest

from tests.fakes.daemon import Daemon, add_agent, are_gone, eventually, is_alive, running
from tests.fakes.history import causes_of, events_of, lasted, seconds
from tests.fakes.holds import watching
from tests.fakes.keeper import is_dead
from tests.fakes.stubs import Stub

DETECTED_WITHIN = 0.1
BOTH_WAYS = pytest.mark.parametrize("spawn", ["fork", "exec"])
"""How an agent's process is made."""


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Bystander")
    return daemon


def deployment(**keys: object) -> str:
    lines = [f"{key} = {value!r}" for key, value in keys.items()]
    return "\n".join(["[deployment]", *lines, ""])


def kill(daemon: Daemon, slug: str) -> float:
    """SIGKILL the agent's process; when."""
    pid = daemon.units()[slug]
    at = time.time()
    os.kill(pid, signal.SIGKILL)
    return at


@pytest.mark.timeout(120)
@BOTH_WAYS
def test_row_01_a_killed_agent_is_noticed_at_once_and_started_again_ever_slower(
    daemon: Daemon, spawn: str
) -> None:
    slugs = [f"victim{number}" for number in range(3)]
    for slug in slugs:
        add_agent(daemon.agents, slug, deployment(spawn=spawn))
    with running(daemon), watching(daemon, touched=slugs):
        noticed = []
        for slug in slugs:
            killed = kill(daemon, slug)
            row = daemon.wait_for(slug, phase="running", restarts=1)
            assert row["last_exit"]["signal"] == "SIGKILL"
            end = next(event for event in events_of(daemon, slug) if event["exit"])
            assert (end["before"], end["after"]) == ("running", "starting"), "the first: at once"
            assert end["exit"]["signal"] == "SIGKILL"
            noticed.append(seconds(end) - killed)
        assert statistics.median(noticed) <= DETECTED_WITHIN, noticed

        for restarts in (2, 3):
            kill(daemon, slugs[0])
            daemon.wait_for(slugs[0], phase="running", restarts=restarts)
        pauses = lasted(events_of(daemon, slugs[0]), "backoff")
        assert len(pauses) == 2
        assert 1 <= pauses[0] < pauses[1], "each pause longer than the one before"


AT_ITS_START = "_os._exit({code})"
WHEN_IT_SERVES = """
    import urllib.request as _request

    def _leave():
        url = "http://127.0.0.1:" + _sys.argv[_sys.argv.index("--port") + 1] + "/health"
        while True:
            try:
                if _request.urlopen(url, timeout=1).status == 200:
                    break
            except OSError:
                _time.sleep(0.02)
        _time.sleep(0.3)
        _os._exit({code})

    _threading.Thread(target=_leave, daemon=True).start()
"""


LOOPING = [
    (AT_ITS_START, 0, "on-failure"),
    (AT_ITS_START, 1, "on-failure"),
    (AT_ITS_START, 2, "always"),
    (WHEN_IT_SERVES, 0, "always"),
    (WHEN_IT_SERVES, 1, "on-failure"),
    (WHEN_IT_SERVES, 2, "always"),
]


@pytest.mark.timeout(120)
def test_row_02_an_agent_that_ends_right_after_its_start_is_given_up_for_a_while_not_spun(
    daemon: Daemon,
) -> None:
    most, codes = 2, {}
    for number, (body, code, policy) in enumerate(LOOPING):
        keys = deployment(restart=policy, max_restarts=most, restart_delay=0.1)
        codes[Stub(daemon, f"Looping{number}", body.format(code=code), keys).slug] = code
    Stub(daemon, "Finished", WHEN_IT_SERVES.format(code=0), deployment(restart="on-failure"))
    Stub(daemon, "Never", AT_ITS_START.format(code=1), deployment(restart="never"))
    ill = [*codes, "finished", "never"]
    with running(daemon), watching(daemon, touched=ill, broken=ill):
        for slug, code in codes.items():
            row = daemon.wait_for(slug, phase="failed")
            assert row["last_exit"]["code"] == code
            given_up = next(e for e in events_of(daemon, slug) if e["after"] == "failed")
            assert (given_up["generation"], given_up["restarts"]) == (most + 1, most), slug
        row = daemon.wait_for("finished", phase="stopped")
        assert (row["reason"], row["restarts"]) == ("finished with exit code 0", 0)
        assert daemon.wait_for("never", phase="failed")["generation"] == 1

        burnt = _burnt(daemon)
        time.sleep(3)  # in which hardly anything is to happen
        assert _burnt(daemon) - burnt < 1.5, "no busy loop"
        for slug in codes:
            assert all(rest > 20 for rest in lasted(events_of(daemon, slug), "failed"))
        assert daemon.row("bystander")["phase"] == "running"


def _burnt(daemon: Daemon) -> float:
    """Seconds of processor time that daemon and keeper have used."""
    assert daemon.process is not None
    times = [psutil.Process(pid).cpu_times() for pid in (daemon.process.pid, daemon.keeper)]
    return sum(one.user + one.system for one in times)


def test_row_03_an_agent_that_never_opens_its_port_is_killed_with_its_tree_at_the_deadline(
    daemon: Daemon,
) -> None:
    body = """
    if not (_SIGNS / "mended").exists():
        _helper = _python("import time; time.sleep(600)", start_new_session=True)
        if _first():
            _note("tree", f"{_os.getpid()} {_helper.pid}")
        _time.sleep(600)
    """
    limit = 3.0
    keys = deployment(start_timeout=limit, restart_delay=0.1)
    stub = Stub(daemon, "Stub", body, keys)
    with running(daemon, settled=False), watching(daemon, ["stub"], broken=["stub"]) as watch:
        tree = stub.pids("tree")
        eventually(lambda: daemon.row("stub")["last_exit"] is not None)
        row = daemon.row("stub")
        assert str(row["last_exit"]["reason"]).startswith("start-timeout")
        eventually(lambda: all(is_dead(pid) for pid in tree), 5)
        first, late = events_of(daemon, "stub")[:2]
        assert "start-timeout" in str(late["cause"])
        took = seconds(late) - seconds(first)
        assert limit <= took < limit + 2, "the deadline, and a busy machine"
        stub.give("mended")
        watch.broken.clear()  # and so it is to be well at the end


@pytest.mark.timeout(120)
def test_row_04_an_agent_whose_health_hangs_is_replaced_after_several_probes_in_a_row(
    daemon: Daemon,
) -> None:
    """Its loop runs and its heart beats: only a real request can tell."""
    body = """
    from atoll.http.activity import Activity as _Activity

    async def _hang(self, scope, receive, send, _before=_Activity.__call__):
        import asyncio
        while (_SIGNS / "hang").exists():
            await asyncio.sleep(0.02)
        await _before(self, scope, receive, send)

    if _first():
        _Activity.__call__ = _hang
    """
    stub = Stub(daemon, "Stub", body, deployment(health_check_interval=1))
    with running(daemon), watching(daemon, touched=["stub"], handed_over=["stub"]):
        first = psutil.Process(daemon.units()["stub"])
        stub.give("hang")
        eventually(lambda: daemon.row("stub")["generation"] == 2, 60)
        row = daemon.wait_for("stub", phase="running", restarts=1)
        why = "did not answer 3 probes in a row: no answer within"
        assert any(why in cause for cause in causes_of(daemon, "stub"))
        eventually(lambda: not is_alive(first), 10, why="the hung one is ended, too")
        assert daemon.chat(row["port"]) == "Hello from Stub"


STUBBORN = """
    from atoll.http.serving import HttpServer as _Server

    _Server.leave = lambda self: None
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("spawn", "body", "killed"),
    [("fork", "", False), ("exec", "", False), ("fork", STUBBORN, True)],
    ids=["fork", "exec", "stubborn"],
)
def test_row_05_a_stopped_agent_is_told_to_go_and_then_killed(
    daemon: Daemon, spawn: str, body: str, killed: bool
) -> None:
    stub = Stub(daemon, "Stub", body, deployment(spawn=spawn, stop_timeout=2))
    with running(daemon), watching(daemon, touched=["stub"], handed_over=["stub"]):
        before = daemon.row("stub")
        process = psutil.Process(daemon.units()[stub.slug])
        process.send_signal(signal.SIGSTOP)
        answered = daemon.chat(before["port"])  # waits in the held socket for the successor
        assert answered == "Hello from Stub"
        after = daemon.wait_for("stub", phase="running", generation=2)
        assert (after["restarts"], after["pid"] != before["pid"]) == (1, True)
        eventually(lambda: not is_alive(process), 10, why="SIGKILL ends a stopped process, too")
        eventually(lambda: daemon.row("stub")["last_exit"] is not None)
        reason = str(daemon.row("stub")["last_exit"]["reason"])
        assert reason.startswith("no heartbeat for"), reason
        assert "(killed)" in reason or not killed


@pytest.mark.timeout(120)
def test_row_06_an_agent_that_ignores_sigterm_is_killed_when_its_grace_is_over(
    daemon: Daemon,
) -> None:
    grace = 2
    Stub(daemon, "Stub", STUBBORN, deployment(stop_timeout=grace))
    with running(daemon):
        with watching(daemon, touched=["stub"], handed_over=["stub"]):
            process = psutil.Process(daemon.units()["stub"])
            stopped = daemon.post("/api/v1/agents/stub/stop").json()
            assert (stopped["status"], stopped["pid"]) == ("stopped", None)
            assert not is_alive(process)
            told, killing, over = events_of(daemon, "stub")[-3:]
            assert [one["after"] for one in (told, killing, over)] == [
                "draining",
                "stopping",
                "stopped",
            ]
            assert grace <= seconds(over) - seconds(told) <= grace + 1
            assert over["exit"]["signal"] == "SIGKILL"
            daemon.post("/api/v1/agents/stub/start").raise_for_status()
            old = psutil.Process(daemon.units()["stub"])
            daemon.post("/api/v1/agents/stub/restart").raise_for_status()
            eventually(lambda: not is_alive(old), grace + 10)
        tree = daemon.tree()
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < grace + 5, "one for all, and what ends a daemon besides"
        assert are_gone(tree)
