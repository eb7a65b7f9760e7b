"""Rows 33 and 34 of the fault matrix: everybody crashes at once, everybody orders at once."""

import os
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from atoll_supervisor.core.restarts import FIRST_DELAY, SPREAD
from tests.fakes.census import units
from tests.fakes.daemon import Daemon, add_agent, eventually, free_ports, running
from tests.fakes.history import causes_of, events_of, lasted
from tests.fakes.holds import watching
from tests.fakes.keeper import is_dead

EXHAUSTIVE = bool(os.environ.get("ATOLL_EXHAUSTIVE"))
CROWD = 200
BACK_WITHIN = 30.0
ORDERS = ("start", "stop", "restart")
ROUNDS = 40 if EXHAUSTIVE else 6
ALLOWED = {200, 409}
"""Done, or refused because of what somebody else ordered meanwhile."""


class Crowded(Daemon):
    """A daemon with room for so many ports."""

    def __init__(self, folder: Path, ports: int) -> None:
        super().__init__(folder)
        self.base_port = free_ports(ports)
        self.api_port = self.base_port + ports - 1
        self.url = f"http://127.0.0.1:{self.api_port}"


def fleet_of(daemon: Daemon) -> dict[str, dict[str, object]]:
    rows = daemon.get("/api/v1/agents").raise_for_status().json()["agents"]
    return {row["slug"]: row for row in rows}


def all_running(daemon: Daemon, restarts: int) -> bool:
    wanted = {"phase": "running", "restarts": restarts}
    return all(row.items() >= wanted.items() for row in fleet_of(daemon).values())


@pytest.mark.timeout(240)
def test_row_33_two_hundred_agents_that_crash_at_once_are_back_one_by_one_and_the_api_answers(
    tmp_path: Path,
) -> None:
    """The first restart is immediate; the second waits, each agent for a time of its own.

    Not more of them are made at a time than the template can take: none is refused by it.
    """
    daemon = Crowded(tmp_path, CROWD + 20)
    slugs = [f"agent{number:03}" for number in range(CROWD)]
    for slug in slugs:
        add_agent(daemon.agents, slug)
    with running(daemon), watching(daemon, touched=slugs) as watch:
        for crash in (1, 2):
            eventually(lambda: len(daemon.units()) == CROWD)
            for pid in daemon.units().values():
                os.kill(pid, signal.SIGKILL)
            eventually(lambda crash=crash: all_running(daemon, crash), BACK_WITHIN)
        pauses = [pause for slug in slugs for pause in lasted(events_of(daemon, slug), "backoff")]
        assert len(pauses) == CROWD, "one pause each: before the second restart"
        assert min(pauses) >= FIRST_DELAY
        assert statistics.stdev(pauses) > FIRST_DELAY * SPREAD / 10, "not all at the same moment"
        assert "is started by exec" not in (daemon.state / "logs" / "keeper.log").read_text()
    print(f"slowest /health: {watch.slowest:.3f} s")
