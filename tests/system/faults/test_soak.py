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
"""A day of it when asked for by ATOLL_SOAK=1; the slopes are judged in both."""
OLD_ENOUGH = 8.0
"""Seconds of life from which on the growth of a process says something."""
RSS_SHARE, RSS_MORE = 1.2, 5.0
FILES_MORE = 8
"""Descriptors that the last look may have met on their way: of a launch, of a probe."""
GREW = re.compile(
    r"^(?P<role>\w+) (?P<pid>\d+): RSS (?P<before>[\d.]+) -> (?P<after>[\d.]+) MiB, "
    r"descriptors (?P<few>\d+) -> (?P<many>\d+) in (?P<seconds>\d+) s",
    re.MULTILINE,
)


class Growth(NamedTuple):
    """What became of one process of the supervisor: MiB, descriptors, seconds."""

    role: str
    before: float
    after: float
    few: int
    many: int
    seconds: float


@pytest.mark.timeout(SECONDS + 240)
def test_row_43_a_fault_a_second_leaves_everything_well_and_nothing_larger() -> None:
    seed = secrets.randbelow(10**9)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", "--seconds", str(SECONDS)]
        + ["--seed", str(seed), "--agents", "4", "--rate", "40"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS + 200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "everything held" in done.stdout
    lives = [growth_of(match) for match in GREW.finditer(done.stdout)]
    assert "keeper" in {life.role for life in lives}, done.stdout
    for life in lives:
        if life.role != "template" and life.seconds >= OLD_ENOUGH:  # a template begins empty
            assert life.after <= life.before * RSS_SHARE + RSS_MORE, done.stdout
            assert life.many <= life.few + FILES_MORE, done.stdout


def growth_of(found: re.Match[str]) -> Growth:
    return Growth(
        found["role"],
        float(found["before"]),
        float(found["after"]),
        int(found["few"]),
        int(found["many"]),
        float(found["seconds"]),
    )
