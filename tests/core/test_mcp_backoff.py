"""The pauses between two tries of an MCP server."""

from atoll.adapters.mcp.backoff import MOST, Backoff


def test_the_first_try_is_at_once_and_the_pauses_double_up_to_a_minute() -> None:
    backoff = Backoff()
    assert [backoff.after(0.0) for _ in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_server_that_lived_begins_anew() -> None:
    backoff = Backoff()
    for _ in range(9):
        backoff.after(MOST - 1)
    assert [backoff.after(MOST), backoff.after(0.0), backoff.after(0.0)] == [0, 1, 2]
