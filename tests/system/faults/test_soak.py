"""Row 43 of the fault matrix: one random fault after the other, and nothing grows."""

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
SECONDS = 86_400 if os.environ.get("ATOLL_SOAK") else 20
"""A day of it when asked for by ATOLL_SOAK=1; slopes mean something after an hour."""
HOUR = 3600
GROWN_UP = 10.0
"""Seconds of life; a daemon that is killed all the time is seldom older."""
RSS_SHARE, RSS_MORE = 1.2, 5.0
FILES_MORE = 12
"""Descriptors that a look may meet: of a launch on its way, of a process that drains."""
LARGEST_DAEMON, MOST_FILES = 100.0, 64
CHAOS = (sys.executable, "-m", "benchmarks.chaos", "--agents", "4", "--rate", "40")
ELSEWHERE = re.compile(r"^WRONG: keeper \d+: RSS.*$", re.MULTILINE)
"""What is not judged here by chaos itself: growth, for which see below."""
GREW = re.compile(
    r"^(?P<role>\w+) (?P<pid>\d+): RSS (?P<before>[\d.]+) -> (?P<after>[\d.]+) MiB, "
    r"descriptors (?P<few>\d+) -> (?P<many>\d+) in (?P<seconds>\d+) s"
    r"(, (?P<hourly>[+-][\d.]+) MiB/h, (?P<opened>[+-]\d+) descriptors/h)?",
    re.MULTILINE,
)


class Growth(NamedTuple):
    """What became of one process of the supervisor: MiB, descriptors, seconds; MiB an hour."""

    role: str
    before: float
    after: float
    few: int
    many: int
    seconds: float
    hourly: float
    opened: int


@pytest.mark.timeout(SECONDS + 240)
def test_row_43_a_fault_a_second_leaves_everything_well_and_nothing_larger() -> None:
    seed = secrets.randbelow(10**9)
    done = subprocess.run(
        [*CHAOS, "--seconds", str(SECONDS), "--seed", str(seed)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS + 200,
        check=False,
    )
    told = ELSEWHERE.sub("", done.stdout)
    assert "everything held" in told or "things did not hold" in told, told + done.stderr
    assert "WRONG" not in told, done.stdout
    lives = [growth_of(match) for match in GREW.finditer(told)]
    keepers = [life for life in lives if life.role == "keeper" and life.seconds >= GROWN_UP]
    assert keepers, told
    for life in keepers:
        assert life.after <= life.before * RSS_SHARE + RSS_MORE, life
        assert life.many <= life.few + FILES_MORE, life
        if life.seconds >= HOUR:
            assert (life.hourly < 1, life.opened) == (True, 0), life
    for life in lives:
        assert life.role != "daemon" or is_small(life), life


def is_small(daemon: Growth) -> bool:
    return daemon.after <= LARGEST_DAEMON and daemon.many <= MOST_FILES


def growth_of(found: re.Match[str]) -> Growth:
    return Growth(
        found["role"],
        float(found["before"]),
        float(found["after"]),
        int(found["few"]),
        int(found["many"]),
        float(found["seconds"]),
        float(found["hourly"] or 0),
        int(found["opened"] or 0),
    )
