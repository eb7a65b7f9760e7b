"""The start-up text of the source page."""

from atoll_supervisor.cli.banner import agent_line, banner
from tests.fakes.fleet import row_of

URL = "http://127.0.0.1:8099"


def test_it_is_the_source_pages_text_and_a_last_line_that_says_what_to_do() -> None:
    rows = [row_of("GhidraAgent"), row_of("CustomAgent", port=8101)]
    assert banner(rows, URL).splitlines() == [
        "[OK] ATOLL deployment server started",
        "  Local Server: localhost (running)",
        "    Agents:",
        "    ● GhidraAgent (Port: 8100) - running",
        "    ● CustomAgent (Port: 8101) - running",
        f"  Management: {URL}  Try: atoll run ghidraagent",
    ]


def test_what_failed_or_is_invalid_says_why() -> None:
    failed = row_of("Bad", status="failed", reason="exit 1")
    invalid = row_of(
        "Worse", status="failed", port=None, phase="invalid", config_error="agent.toml:3:1: what"
    )
    assert agent_line(failed) == "● Bad - failed: exit 1"
    assert agent_line(invalid) == "● Worse - failed: agent.toml:3:1: what"


def test_one_that_crashes_again_and_again_says_why() -> None:
    row = row_of("Crasher", status="starting", phase="backoff", reason="exit code 1")
    assert agent_line(row) == "● Crasher (Port: 8100) - starting again: exit code 1"


def test_a_running_agent_with_a_broken_edit_says_both() -> None:
    line = agent_line(row_of("Good", config_error="agent.toml:3:1: what"))
    assert line.startswith("● Good (Port: 8100) - running (")
    assert "agent.toml:3:1: what" in line


def test_a_name_cannot_play_with_the_terminal() -> None:
    assert agent_line(row_of("A\x1b[2JB\nC")).startswith("● AB\u240aC")


def test_an_empty_fleet_says_how_to_fill_it() -> None:
    text = banner([], URL)
    assert "agent.toml" in text
    assert "atoll run" not in text
