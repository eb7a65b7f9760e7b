"""Rows 33 and 34 of the fault matrix: everybody crashes at once, everybody orders at once."""

import os
import random
import secrets
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from psutil import NoSuchProcess, Process

from atoll_supervisor.core.fleet import START_LIMIT
from atoll_supervisor.core.moves import SLOT_TIME
from atoll_supervisor.core.restarts import FIRST_DELAY, SPREAD
from tests.fakes.census import units
from tests.fakes.daemon import PLAIN, Daemon, add_agent, eventually, running
from tests.fakes.history import Event, lasted
from tests.fakes.holds import Row, rows_of, watching
from tests.fakes.stubs import Stub

CROWD = 200
ALL_UP_WITHIN = 90.0
"""Seconds; alone on two cores it takes three, but other tests may have the cores."""
ROUNDS = 30 if os.environ.get("ATOLL_EXHAUSTIVE") else 5
ORDERS = ("start", "stop", "restart", "restart", "kill")


@pytest.mark.timeout(400)
def test_row_33_two_hundred_agents_that_crash_at_once_come_back_few_at_a_time(
    tmp_path: Path,
) -> None:
    """The first restart is immediate; the second waits, each agent for a time of its own."""
    daemon = Daemon(tmp_path, ports=CROWD + 20)
    slugs = [f"agent{number:03}" for number in range(CROWD)]
    for slug in slugs:
        add_agent(daemon.agents, slug)
    with running(daemon, settled=False):
        most = until_all_run(daemon, restarts=0)
        refused = without_template(daemon)
        with watching(daemon, touched=slugs):
            for crash in (1, 2):
                for pid in daemon.units().values():
                    os.kill(pid, signal.SIGKILL)
                most = max(most, until_all_run(daemon, restarts=crash))
            happened = fleet_events(daemon)
        assert most <= START_LIMIT
        pauses = [lasted(happened[slug], "backoff") for slug in slugs]
        assert {len(each) for each in pauses} == {1}, "before the second restart"
        waited = [pause for (pause,) in pauses]
        assert statistics.median(waited) >= FIRST_DELAY
        assert statistics.stdev(waited) > FIRST_DELAY * SPREAD / 10, "not all at one moment"
        assert without_template(daemon) == refused, "not more forks than the template can take"


def until_all_run(daemon: Daemon, restarts: int) -> int:
    """Wait until every agent serves after so many restarts; how many began to at a time."""
    most = 0

    def all_run() -> bool:
        nonlocal most
        time.sleep(0.1)  # a list of so many is work for the daemon
        rows = rows_of(daemon).values()
        most = max(most, len([row for row in rows if row["phase"] == "starting" and begins(row)]))
        well = [row for row in rows if (row["phase"], row["restarts"]) == ("running", restarts)]
        return len(well) == CROWD

    eventually(all_run, ALL_UP_WITHIN)
    return most


def fleet_events(daemon: Daemon) -> dict[str, list[Event]]:
    """The transitions of each agent."""
    url = f"{daemon.url}/api/v1/events?tail=10000"
    answer = httpx.get(url, headers=daemon.token(), timeout=30, verify=PLAIN).raise_for_status()
    found: dict[str, list[Event]] = defaultdict(list)
    for event in answer.json()["events"]:
        if event["after"]:
            found[event["unit"]].append(event)
    return found


def begins(row: Row) -> bool:
    """Whether its process is as young as one that keeps another from starting."""
    pid = row["pid"]
    try:
        return isinstance(pid, int) and time.time() - Process(pid).create_time() < SLOT_TIME / 2
    except NoSuchProcess:
        return False


def without_template(daemon: Daemon) -> int:
    """How many launches the template was not ready for, or refused."""
    return (daemon.state / "keeper.log").read_text().count("is started by exec")


SLOW = """
    from atoll.http.serving import HttpServer as _Server

    def _slowly(self, _leave=_Server.leave):
        import asyncio
        asyncio.get_running_loop().call_later({leave}, _leave, self)

    _Server.leave = _slowly

    if (_SIGNS / "slow").exists():
        _time.sleep({start})
"""


@pytest.mark.timeout(180)
def test_row_34_whatever_is_ordered_at_once_an_agent_does_one_thing_at_a_time(
    tmp_path: Path,
) -> None:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Bystander")
    keys = "[deployment]\nmax_restarts = 1000\nrestart_delay = 5\nstop_timeout = 5\n"
    stub = Stub(daemon, "Stub", SLOW.format(start=1.5, leave=1), keys)
    with running(daemon), watching(daemon, touched=["stub"], handed_over=["stub"]):
        during_back_off(daemon)
        during_start(daemon, stub)
        during_stop(daemon)
        a_hundred_restarts(daemon)
        a_storm(daemon)
        order(daemon, "start")  # answered perhaps before the last kill is noticed
        daemon.wait_for("stub", phase="running")
        eventually(lambda: len(processes(daemon)) == 1)


def order(daemon: Daemon, what: str, wait: bool = True) -> Row:
    """Have it done; each order is answered in its time, whatever the others are."""
    url = f"{daemon.url}/api/v1/agents/stub/{what}?wait={str(wait).lower()}"
    answer = httpx.post(url, headers=daemon.token(), timeout=40, verify=PLAIN)
    row: Row = answer.raise_for_status().json()
    return row


def all_at_once(daemon: Daemon, orders: Sequence[str]) -> list[Row]:
    with ThreadPoolExecutor(len(orders)) as pool:
        return list(pool.map(lambda what: order(daemon, what), orders))


def processes(daemon: Daemon) -> list[int]:
    return [pid for pid, path in units(daemon).items() if "/stub/" in path]


def kill(daemon: Daemon) -> None:
    for pid in processes(daemon):
        os.kill(pid, signal.SIGKILL)


def during_back_off(daemon: Daemon) -> None:
    """It is started at once, and the pause that was under way starts no second one."""
    kill(daemon)
    daemon.wait_for("stub", phase="running", restarts=1)
    kill(daemon)
    daemon.wait_for("stub", phase="backoff")
    done = all_at_once(daemon, ["restart"] * 3)
    assert [(row["phase"], row["generation"]) for row in done] == [("running", 3)] * 3


def during_start(daemon: Daemon, stub: Stub) -> None:
    """One start is enough for all who ask for it."""
    order(daemon, "stop")
    stub.give("slow")
    first = order(daemon, "start", wait=False)
    assert first["phase"] == "starting"
    done = all_at_once(daemon, ["restart", "start", "restart"])
    assert {(row["phase"], row["pid"]) for row in done} == {("running", processes(daemon)[0])}
    assert {row["generation"] for row in done} == {4}
    (stub.signs / "slow").unlink()


def during_stop(daemon: Daemon) -> None:
    """The start comes after the stop, and who waited for the stop is told."""
    before = daemon.row("stub")
    with ThreadPoolExecutor(2) as pool:
        stopped = pool.submit(order, daemon, "stop")
        eventually(lambda: daemon.row("stub")["phase"] != "running")
        started = order(daemon, "restart")
        assert started["phase"] == "running"
        assert started["generation"] == int(str(before["generation"])) + 1
        stopped.result(30)


def a_hundred_restarts(daemon: Daemon) -> None:
    before = int(str(daemon.row("stub")["generation"]))
    done = all_at_once(daemon, ["restart"] * 100)
    assert {row["phase"] for row in done} == {"running"}
    assert all(before < int(str(row["generation"])) < before + 100 for row in done)
    eventually(lambda: len(processes(daemon)) == 1)


def a_storm(daemon: Daemon) -> None:
    """Whatever comes together, drawn from a seed; the agent may well be killed meanwhile."""
    seed = secrets.randbelow(10**9)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for _ in range(ROUNDS):
        drawn = draw.choices(ORDERS, k=draw.randint(2, 12))
        with ThreadPoolExecutor(len(drawn)) as pool:
            said = [pool.submit(one, daemon, what, draw.uniform(0, 0.5)) for what in drawn]
            for each in said:
                each.result(45)


def one(daemon: Daemon, what: str, after: float) -> None:
    time.sleep(after)
    if what == "kill":
        kill(daemon)
    else:
        order(daemon, what)
