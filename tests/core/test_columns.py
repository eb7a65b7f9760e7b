"""Values in tables."""

import pytest

from atoll_supervisor.cli.columns import (
    ago,
    duration,
    exit_word,
    fleet_table,
    history,
    plain_table,
    reasons,
    size,
)
from atoll_supervisor.core.row import LastExit
from tests.fakes.events import event
from tests.fakes.fleet import CRASHED, row_of

NOW = 1_795_255_300.0
"""100 seconds after CRASHED."""


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (59.9, "59s"), (60, "1m0s"), (3725, "1h2m"), (90_000, "1d1h"), (864_000, "10d0h")],
)
def test_durations_show_their_two_greatest_units(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0B"), (1023, "1023B"), (1024, "1.0K"), (50_000_000, "48M"), (3 << 30, "3.0G")],
)
def test_sizes_are_in_powers_of_1024(count: int, shown: str) -> None:
    assert size(count) == shown


def test_what_is_unknown_is_a_dash() -> None:
    row = row_of("A", status="stopped", port=None)
    cells = fleet_table([row], now=NOW).rows[0]
    assert cells[2:9] == ("-", "-", "-", "2", "-", "-", "-")


def test_the_phase_is_shown_where_it_says_more_than_the_status() -> None:
    row = row_of("A", status="starting", phase="backoff")
    assert fleet_table([row], now=NOW).rows[0][1] == "starting (backoff)"


def test_the_last_exit_is_shown_with_its_age() -> None:
    row = row_of("A", last_exit=CRASHED)
    assert fleet_table([row], now=NOW).rows[0][6] == "code 1 1m ago"


@pytest.mark.parametrize(
    ("code", "signal", "shown"),
    [
        (1, None, "code 1"),
        (0, None, "code 0"),
        (None, "SIGKILL", "SIGKILL"),
        (None, None, "not started"),
    ],
)
def test_an_exit_is_told_in_a_word(code: int | None, signal: str | None, shown: str) -> None:
    assert exit_word(LastExit(code, signal, "", "")) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0s ago"), (59.9, "59s ago"), (125, "2m ago"), (7300, "2h ago"), (200_000, "2d ago")],
)
def test_ages_show_their_greatest_unit(seconds: float, shown: str) -> None:
    assert ago(seconds) == shown


def test_columns_are_aligned() -> None:
    table = plain_table(
        fleet_table([row_of("A"), row_of("A much longer name", port=8111)], now=NOW)
    )
    starts = {line.index("running") for line in table.splitlines()[1:]}
    assert len(starts) == 1


def test_only_what_is_not_well_has_a_reason() -> None:
    rows = [
        row_of("Good"),
        row_of("Bad", status="failed", reason="exit 1"),
        row_of("Crasher", status="starting", phase="backoff", reason="exit 2"),
        row_of("Resting", status="stopped", reason="stopped by an operator"),
        row_of("New", status="starting", reason="its manifest was read"),
        row_of("Sleeper", phase="asleep", reason="no client yet"),
        row_of("Edited", config_error="agent.toml:3:1: what is `modle`?"),
        row_of("Old", reason="its replacement did not get ready"),
    ]
    assert reasons(rows) == [
        "Bad: exit 1",
        "Crasher: exit 2",
        "Edited: agent.toml:3:1: what is `modle`?",
        "Old: its replacement did not get ready",
    ]


def test_a_history_has_one_heading_and_a_line_for_each_event() -> None:
    assert history([event(1), event(2, cause="again")]) == [
        ("events", "2026-11-21T04:00:01.000Z starting -> running: it is ready (generation 1)"),
        ("", "2026-11-21T04:00:02.000Z starting -> running: again (generation 1)"),
    ]
