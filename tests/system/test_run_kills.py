"""Wherever its daemon or its agent is killed, a run goes on or fails as it was told (issue 6).

Killed at the n-th time that a thread makes a system call, for moments drawn from all that were
made while a whole workflow ran: accepted, three steps, a choice, its webhook. What is checked is
what a client, the models and the webhook saw: no ghost, no step twice, and nothing asked again
whose answer was kept.
"""

import os
import random
import shutil
import signal
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import pytest

from tests.fakes.chain import ANSWERED_BY, Outside, Question, chain
from tests.fakes.daemon import PLAIN, Daemon, eventually, running
from tests.fakes.keeper import is_dead
from tests.fakes.noting import LIMIT, ended, events
from tests.fakes.strace import STRACE, killing, recording

WHO = ("daemon", "first", "second")
SAMPLE = 6
"""Moments that are tried of each process, half of them of the calls of OF_RUNS."""
SOAKED = 100
"""In the soak: so many of any call, and all of OF_RUNS."""
DIES_WITHIN = 0.2
"""Seconds from a signal to the end of a process."""
OF_RUNS = ("pwrite64", "write", "writev", "sendto", "connect", "io_uring_enter", "epoll_ctl")
"""What is done for a run, and little else: its commits, its questions and its answers."""


class Moment(NamedTuple):
    """The `nth` time that a thread makes the system call; and what the run is asked to be."""

    mark: str
    call: str
    nth: int
    policy: str
    in_background: bool


class Kept(NamedTuple):
    """What `atoll.db` held of a run at a kill."""

    run_id: str
    answered: frozenset[Question]


@STRACE
@pytest.mark.timeout(240)
@pytest.mark.parametrize("who", WHO)
def test_a_run_is_whole_wherever_its_daemon_or_its_agent_is_killed(
    tmp_path: Path, who: str
) -> None:
    assert sweep(tmp_path, who, soaking=False) > 0, "nobody was killed"


@STRACE
@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("who", WHO)
def test_a_run_is_whole_at_many_more_moments(tmp_path: Path, who: str) -> None:
    assert sweep(tmp_path, who, soaking=True) > SOAKED


def sweep(folder: Path, who: str, *, soaking: bool) -> int:
    """Kill at moments that are drawn, each in a run of its own; how many of them came."""
    seed = int(os.environ.get("ATOLL_SEED", random.randrange(1 << 32)))
    trace = folder / "strace"
    kills = 0
    with chain(folder) as (daemon, outside), running(daemon):
        moments = drawn(random.Random(seed), made(daemon, outside, who, trace), soaking)
        for moment in moments:
            try:
                kills += survived(daemon, outside, who, moment, trace)
            except Exception as error:
                error.add_note(f"{who} killed at {moment}; ATOLL_SEED={seed}")
                raise
        print(f"ATOLL_SEED={seed}: {who} was killed at {kills} of {len(moments)} moments")
        rows = daemon.get("/run?limit=10000").json()["runs"]
        assert len(rows) == len(moments) + 1, "each request made one run"
        assert {row["status"] for row in rows} <= {"completed", "failed"}
    return kills


def made(daemon: Daemon, outside: Outside, who: str, trace: Path) -> dict[str, int]:
    """How often the process makes each system call while a run is accepted, done and told."""
    with recording(pid_of(daemon, who), trace) as calls:
        asked(daemon, outside, Moment("mark-0", "", 0, "continue", False))
        eventually(lambda: bool(outside.told("mark-0")))
    assert outside.asked("mark-0") == Counter(list(ANSWERED_BY)), "it is another chain"
    return calls.counts()


def drawn(chance: random.Random, calls: dict[str, int], soaking: bool) -> list[Moment]:
    """Moments to kill at, with what the run of each is asked to be."""
    every = [(call, nth + 1) for call, most in calls.items() for nth in range(most)]
    of_runs = [one for one in every if one[0] in OF_RUNS]
    half = SAMPLE // 2
    chosen = of_runs if soaking else chance.choices(of_runs, k=half)
    chosen = [*chosen, *chance.choices(every, k=SOAKED if soaking else half)]
    chance.shuffle(chosen)
    policies = ("continue", "continue", "fail")
    return [
        Moment(f"mark-{number}", call, nth, chance.choice(policies), chance.random() < 0.5)
        for number, (call, nth) in enumerate(chosen, 1)
    ]


def survived(daemon: Daemon, outside: Outside, who: str, moment: Moment, trace: Path) -> bool:
    """Whether the moment came; fails if the run is not whole afterwards."""
    victim = pid_of(daemon, who)
    kept: Kept | None = None
    before: Counter[Question] = Counter()
    with ThreadPoolExecutor(1) as pool:
        with killing(victim, trace, moment.call, moment.nth):
            asking = pool.submit(asked, daemon, outside, moment)
            eventually(lambda: is_dead(victim) or bool(outside.told(moment.mark)), LIMIT)
            with suppress(AssertionError):
                eventually(lambda: is_dead(victim), DIES_WITHIN)
        came = is_dead(victim)
        if came and who == "daemon":
            daemon.stop(signal.SIGKILL)
            before = outside.asked(moment.mark)
            kept = found_in(daemon, moment.mark)
            daemon.start(settled=False)
        answer = asking.result(LIMIT)
    assert answer is not None or who == "daemon"
    check(daemon, outside, moment, answer, kept)
    again = outside.asked(moment.mark) - before
    assert kept is None or not again.keys() & kept.answered, "asked again what was answered"
    if who != "daemon":  # afresh, or its back-off would grow with each kill
        for verb in ("stop", "start"):
            daemon.post(f"/api/v1/agents/{who}/{verb}").raise_for_status()
    return came


def check(
    daemon: Daemon, outside: Outside, moment: Moment, answer: dict | None, kept: Kept | None
) -> None:
    """The run is there once, has ended as it should, and everybody was told so."""
    again = asked(daemon, outside, moment)
    assert again is not None
    for known in (answer and answer["run_id"], kept and kept.run_id):
        assert known in (None, again["run_id"]), "the key made a second run"
    told = ended(daemon, again["run_id"])
    fate = (told["status"], told["reason"])
    fates = {("completed", None)} | (
        {("failed", "interrupted")} if moment.policy == "fail" else set()
    )
    assert fate in fates, told
    history = events(daemon, told["run_id"])
    assert [one["id"] for one in history] == list(range(1, len(history) + 1))
    steps = [one["agent"] for one in history if one["type"] == "step_completed"]
    assert steps == told["path"] == ["first", "second", "third"][: len(steps)]
    assert len(steps) == 3 or told["status"] == "failed"
    ends = [one["type"] for one in history if one["status"] == told["status"]]
    assert ends == [f"run_{told['status']}"]
    most = 1 if moment.policy == "fail" else 2
    assert max(outside.asked(moment.mark).values(), default=0) <= most
    eventually(lambda: bool(outside.told(moment.mark)), LIMIT, "the webhook was never told")
    assert all(one == told for one in outside.told(moment.mark))


def asked(daemon: Daemon, outside: Outside, moment: Moment) -> dict | None:
    """The run that the daemon answers, None if it dies of it."""
    body = outside.order(moment.mark, moment.policy, moment.in_background)
    headers = {"Idempotency-Key": moment.mark}
    url = f"{daemon.url}/run/flock"
    with suppress(httpx.TransportError):
        answer = httpx.post(url, json=body, headers=headers, timeout=LIMIT, verify=PLAIN)
        return answer.raise_for_status().json()
    return None


def found_in(daemon: Daemon, mark: str) -> Kept | None:
    """What the dead daemon has kept of the run; read from a copy, which changes nothing."""
    copy = daemon.state.parent / "copy.db"
    for end in ("", "-wal"):
        copy.with_name(copy.name + end).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            shutil.copy(daemon.state / f"atoll.db{end}", copy.with_name(copy.name + end))
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
        query = "select run.id, event from run join run_plan using (seq) join run_event using (seq)"
        rows = db.execute(f"{query} where plan like ?", (f"%<{mark}>%",)).fetchall()
    if not rows:
        return None
    told = [msgspec.json.decode(event) for _, event in rows]
    happened = {(one["type"], one.get("step", 0)) for one in told}
    answered = {question for question, event in ANSWERED_BY.items() if event in happened}
    return Kept(rows[0][0], frozenset(answered))


def pid_of(daemon: Daemon, who: str) -> int:
    assert daemon.process is not None
    return daemon.process.pid if who == "daemon" else daemon.units()[who]
