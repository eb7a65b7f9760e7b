"""Events as they are made, numbered and told."""

from atoll_supervisor.core.effects import Record
from atoll_supervisor.core.happening import (
    MAX_TEXT,
    Happening,
    log_line,
    next_id,
    of_note,
    of_record,
)
from atoll_supervisor.core.phases import Ended
from atoll_supervisor.core.row import LastExit
from atoll_supervisor.core.view import Clock

CLOCK = Clock(100.0, 1_795_233_600.25)
KILLED = Record(
    before="running",
    after="backoff",
    cause="killed by SIGKILL",
    generation=3,
    pid=None,
    restarts=2,
    ended=Ended(None, "SIGKILL", "killed by SIGKILL", 98.0),
)


def test_a_transition_has_everything_of_its_record() -> None:
    assert of_record(7, CLOCK, "customagent", KILLED) == Happening(
        id=7,
        at="2026-11-21T04:00:00.250Z",
        unit="customagent",
        before="running",
        after="backoff",
        cause="killed by SIGKILL",
        generation=3,
        pid=None,
        restarts=2,
        exit=LastExit(None, "SIGKILL", "killed by SIGKILL", "2026-11-21T03:59:58.250Z"),
    )


def test_the_log_line_is_short_and_can_be_parsed() -> None:
    assert log_line(of_record(7, CLOCK, "customagent", KILLED)) == (
        "2026-11-21T04:00:00.250Z customagent: running -> backoff: killed by SIGKILL"
        " (generation 3, restart 2)"
    )


def test_numbers_that_say_nothing_are_left_out_of_the_line() -> None:
    record = Record(before="stopped", after="starting", cause="", generation=0)
    line = log_line(of_record(7, CLOCK, "a", record))
    assert line.endswith("Z a: stopped -> starting")


def test_a_note_tells_its_unit_or_nobodys() -> None:
    ours, its = of_note(1, CLOCK, "", "the daemon started"), of_note(2, CLOCK, "a", "too slow")
    assert (ours.kind, its.kind) == ("note", "note")
    assert log_line(ours).endswith("Z the daemon started")
    assert log_line(its).endswith("Z a: too slow")


def test_a_strangers_words_are_one_safe_line() -> None:
    """A process's last words may hold anything (attacks.md S35)."""
    evil = "\x1b]52;c;ZXZpbA==\x07 red\x1b[31m\ntwo \u202e \u2028 \x85"
    note = of_note(1, CLOCK, "", evil)
    assert len(note.cause.splitlines()) == 1
    assert not any(char < " " or char in "\x7f\x85\x9b\u202e" for char in note.cause)
    assert "ZXZpbA" not in note.cause


def test_a_long_cause_is_cut() -> None:
    assert of_note(1, CLOCK, "", "x" * MAX_TEXT).cause == "x" * MAX_TEXT
    cut = of_note(1, CLOCK, "", "x" * (MAX_TEXT + 1)).cause
    assert (len(cut), cut[-1]) == (MAX_TEXT, "…")


def test_ids_rise_whatever_the_clock_does() -> None:
    assert next_id(0, 1000.25) == 1_000_250_000
    assert next_id(1_000_250_000, 1000.25) == 1_000_250_001
    assert next_id(1_000_250_001, 5.0) == 1_000_250_002
