"""A unit as the API shows it."""

import pytest
from msgspec.structs import replace

from atoll_supervisor.core import phases as ph
from atoll_supervisor.core.row import LastExit
from atoll_supervisor.core.spec import Card, UnitSpec
from atoll_supervisor.core.view import Clock, Seen, row_of, status_of

CLOCK = Clock(monotonic=100.0, epoch=1_700_000_000.0)
SPEC = UnitSpec(
    slug="a",
    name="A",
    checksum="1",
    config_path="a/agent.toml",
    card=Card(model="llama3.2", backend="ollama", version="1.2.0", capabilities=("x",)),
)
UNIT = ph.Unit(slug="a", spec=SPEC, generation=2, restarts=1)
RUNS = ph.Running(2, 7, 90.0)
ENDED = ph.Ended(None, "SIGKILL", "killed by SIGKILL", 70.0)


@pytest.mark.parametrize(
    ("phase", "status", "word"),
    [
        (ph.Invalid("agent.toml:1:1: wrong", "a/agent.toml"), "failed", "invalid"),
        (ph.Stopped("finished"), "stopped", "stopped"),
        (ph.Waiting(1.0, "asked"), "discovered", "starting"),
        (ph.Asleep(1.0, "no client yet"), "running", "asleep"),
        (ph.Starting(2, 1.0, 2.0), "starting", "starting"),
        (RUNS, "running", "running"),
        (ph.Replacing(RUNS, ph.Starting(3, 1.0, 2.0)), "running", "running"),
        (ph.Stopping(1.0, "rest", "asked"), "stopped", "draining"),
        (ph.Stopping(1.0, "forget", "asked"), "stopped", "draining"),
        (ph.Stopping(1.0, "start", "asked"), "starting", "draining"),
        (ph.Stopping(1.0, "recover", "asked"), "starting", "draining"),
        (ph.Stopping(1.0, "sleep", "asked"), "running", "draining"),
        (ph.Backoff(1.0, "exit code 1"), "starting", "backoff"),
        (ph.Failed("exit code 1", 9.0), "failed", "failed"),
    ],
)
def test_each_phase_has_its_public_words(phase: ph.Phase, status: str, word: str) -> None:
    unit = replace(UNIT, phase=phase)
    assert status_of(unit) == status
    assert row_of(unit, Seen(), CLOCK, "127.0.0.1", 8100).phase == word


def test_waiting_for_another_start_is_no_discovery() -> None:
    assert status_of(replace(UNIT, phase=ph.Waiting(1.0, "asked"), ended=ENDED)) == "starting"


def test_a_running_unit_shows_what_was_seen_of_it() -> None:
    unit = replace(UNIT, phase=RUNS, ended=ENDED)
    seen = Seen(model="smollm2", backend="local", instance_id="i", rss_bytes=5, in_flight=1)
    seen = replace(seen, limits={"memory": "rlimit"})
    row = row_of(unit, seen, CLOCK, "127.0.0.1", 8100)
    assert (row.name, row.pid, row.port, row.url) == ("A", 7, 8100, "http://127.0.0.1:8100")
    assert (row.model, row.backend, row.version) == ("smollm2", "local", "1.2.0")
    assert (row.instance_id, row.rss_bytes, row.in_flight) == ("i", 5, 1)
    assert row.limits == {"memory": "rlimit"}
    assert (row.started_at, row.uptime_s) == ("2023-11-14T22:13:10.000+00:00", 10.0)
    assert row.last_exit == LastExit(
        None, "SIGKILL", "killed by SIGKILL", "2023-11-14T22:12:50.000+00:00"
    )


def test_while_a_successor_starts_the_row_is_that_of_the_process_that_serves() -> None:
    new = ph.Starting(3, 99.0, 159.0, pid=8)
    unit = replace(UNIT, phase=ph.Replacing(replace(RUNS, renew="asked"), new), generation=3)
    row = row_of(unit, Seen(), CLOCK, "127.0.0.1", 8100)
    assert (row.generation, row.pid, row.uptime_s, row.reason) == (2, 7, 10.0, "asked")


def test_what_a_start_waits_for_is_told_and_forgotten_when_it_serves() -> None:
    new = ph.Starting(3, 99.0, 159.0, pid=8)
    seen = Seen(waits="job 7 waits in the queue")
    starts = replace(UNIT, phase=new, generation=3)
    assert row_of(starts, seen, CLOCK, "127.0.0.1", 8100).reason == "job 7 waits in the queue"
    renewed = replace(UNIT, phase=ph.Replacing(replace(RUNS, renew="asked"), new), generation=3)
    row = row_of(renewed, seen, CLOCK, "127.0.0.1", 8100)
    assert row.reason == "asked: job 7 waits in the queue"
    assert row_of(replace(UNIT, phase=RUNS), seen, CLOCK, "127.0.0.1", 8100).reason == ""


def test_a_unit_whose_successor_did_not_start_says_so_and_runs() -> None:
    unit = replace(UNIT, phase=replace(RUNS, note="the new process did not start: exit code 1"))
    row = row_of(unit, Seen(), CLOCK, "127.0.0.1", 8100)
    assert (row.status, row.reason) == ("running", "the new process did not start: exit code 1")


def test_a_unit_that_stops_drains_until_a_process_has_to_be_killed() -> None:
    leaving = (ph.Leaving(2, 7, 9.0), ph.Leaving(3, 8, 9.0, killed=True))
    phase = ph.Stopping(1.0, "rest", "asked")
    unit = replace(UNIT, phase=phase, leaving=leaving, generation=3)
    row = row_of(unit, Seen(rss_bytes=5), CLOCK, "127.0.0.1", 8100)
    assert (row.phase, row.pid, row.generation, row.rss_bytes) == ("stopping", 8, 3, 5)


def test_one_that_still_drains_is_not_taken_for_the_one_that_crashed_after_it() -> None:
    leaving = (ph.Leaving(2, 7, 9.0),)
    unit = replace(UNIT, phase=ph.Backoff(5.0, "crashed"), leaving=leaving, generation=3)
    row = row_of(unit, Seen(), CLOCK, "127.0.0.1", 8100)
    assert (row.phase, row.pid, row.generation) == ("backoff", None, 3)


def test_without_a_process_old_sights_are_not_shown() -> None:
    unit = replace(UNIT, phase=ph.Stopped("asked"))
    row = row_of(unit, Seen(model="smollm2", rss_bytes=5), CLOCK, "127.0.0.1", None)
    assert (row.pid, row.rss_bytes, row.uptime_s, row.url) == (None, None, None, None)
    assert (row.model, row.backend, row.reason) == ("smollm2", "ollama", "asked")


def test_an_invalid_unit_is_known_by_its_slug_and_file() -> None:
    problem = "agent.toml:1:1: wrong"
    phase = ph.Invalid(problem, "a/agent.toml")
    unit = ph.Unit(slug="a", phase=phase, config_error=problem)
    row = row_of(unit, Seen(), CLOCK, "127.0.0.1", None)
    assert (row.name, row.config_path, row.reason, row.config_error) == (
        "a",
        "a/agent.toml",
        problem,
        problem,
    )
    assert (row.checksum, row.last_exit) == ("", None)


def test_a_unit_of_which_nothing_is_known_yet_still_makes_a_row() -> None:
    assert row_of(ph.Unit(slug="a"), Seen(), CLOCK, "127.0.0.1", None).config_path == ""
