"""What a server writes to its stderr, in the agent's log and bounded."""

import asyncio
from collections.abc import Callable

from atoll.adapters.mcp.meter import Meter

Say = Callable[[str], None]

LINES_A_SECOND = 20
MOST_LINE = 500
"""Characters; the rest of a line is left out."""
_CHUNK = 65_536
_PAUSE = 0.05
"""Seconds that a flood waits for its next piece to be read; the agent has better things to do."""


async def relay(stream: asyncio.StreamReader, say: Say) -> None:
    """Say each line until the stream ends; what is too much is counted and told as a number."""
    meter = Meter(LINES_A_SECOND)
    rest, missing = b"", 0
    while chunk := await stream.read(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[: MOST_LINE * 4]  # bytes of that many characters
        for line in lines:
            if not meter.passes():
                missing += 1
                continue
            missing = _told(missing, say)
            say(shown(line))
        if missing:
            await asyncio.sleep(_PAUSE)
    _told(missing, say)
    if rest:
        say(shown(rest))


def shown(line: bytes) -> str:
    """A line as a log may hold it: cut, and without characters that move a terminal's cursor."""
    text = line.decode("utf-8", "replace").rstrip()[:MOST_LINE]
    return "".join(char if char.isprintable() else "?" for char in text)


def _told(missing: int, say: Say) -> int:
    if missing:
        say(f"[{missing} lines left out]")
    return 0
