"""Lines of a log file, read back."""

from atoll_supervisor.core.answers import LogLine
from atoll_supervisor.core.logline import parse_line

AT = "2026-11-21T04:00:00.123Z"


def test_a_record_gives_its_time_stream_and_text() -> None:
    assert parse_line(f"{AT} out hello  world") == LogLine(AT, "stdout", "hello  world")
    assert parse_line(f"{AT} err ") == LogLine(AT, "stderr", "")


def test_anything_else_is_text_without_a_time() -> None:
    for text in ("", "hello", f"{AT} log x", f"{AT}", f" {AT} out x"):
        assert parse_line(text) == LogLine(None, "stdout", text)
