"""A line of a unit's log file, read back: `2026-11-21T04:00:00.123Z out text`."""

import re

from atoll_supervisor.core.answers import LogLine

_LINE = re.compile(r"(?P<at>\d{4}-\d\d-\d\dT[\d:.]+Z) (?P<stream>out|err) (?P<text>.*)", re.DOTALL)


def parse_line(line: str) -> LogLine:
    """Time, stream and text; a line of another form is text of standard output with no time."""
    found = _LINE.fullmatch(line)
    if found is None:
        return LogLine(None, "stdout", line)
    return LogLine(found["at"], "stderr" if found["stream"] == "err" else "stdout", found["text"])
