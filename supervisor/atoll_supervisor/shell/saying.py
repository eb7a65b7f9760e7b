"""The daemon's own log: lines on standard error."""

import os
from contextlib import suppress
from datetime import UTC, datetime


def say(text: str) -> None:
    """One line of the daemon's own log, on standard error."""
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    write(f"{stamp} {text}")


def write(line: str) -> None:
    """A line on standard error; one that nobody can read is lost."""
    with suppress(OSError):  # a closed terminal, a full disk, a reader that went away
        os.write(2, f"{line}\n".encode(errors="backslashreplace"))
