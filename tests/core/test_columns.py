"""Values in tables."""

import pytest

from atoll_supervisor.cli.columns import duration, fleet_table, plain_table, reasons, size
from tests.fakes.fleet import row_of


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
    assert fleet_table([row]).rows[0][2:8] == ("-", "-", "-", "2", "-", "-")


def test_the_phase_is_shown_where_it_says_more_than_the_status() -> None:
    assert fleet_table([row_of("A", status="starting", phase="backoff")]).rows[0][1] == (
        "starting (backoff)"
    )


def test_columns_are_aligned() -> None:
    table = plain_table(fleet_table([row_of("A"), row_of("A much longer name", port=8111)]))
    starts = {line.index("running") for line in table.splitlines()[1:]}
    assert len(starts) == 1


def test_only_what_is_not_well_has_a_reason() -> None:
    rows = [
        row_of("Good"),
        row_of("Bad", status="failed", reason="exit 1"),
        row_of("Crasher", status="starting", phase="backoff", reason="exit 2"),
        row_of("Resting", status="stopped", reason="stopped by an operator"),
        row_of("New", status="starting", reason="its manifest was read"),
    ]
    assert reasons(rows) == ["Bad: exit 1", "Crasher: exit 2"]
