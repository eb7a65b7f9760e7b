"""What a row's check comes to, and how a check says so."""

from msgspec import Struct

SHOWN = 160
"""Characters of an answer that a report shows."""


class Pass(Struct, frozen=True, tag="pass"):
    """The server did what the row expects."""


class Fail(Struct, frozen=True, tag="fail"):
    """It did not."""

    expected: str
    came: str


class NotApplicable(Struct, frozen=True, tag="not applicable"):
    """It could not be asked, and why."""

    why: str


Verdict = Pass | Fail | NotApplicable


class Wrong(Exception):
    """Ends a check: the row fails."""

    def __init__(self, expected: str, came: object) -> None:
        super().__init__(expected)
        self.expected = expected
        self.came = shortened(came)


class Skipped(Exception):
    """Ends a check: the row does not apply to this server."""


def expect(good: bool, expected: str, came: object) -> None:
    """Raise Wrong unless `good`."""
    if not good:
        raise Wrong(expected, came)


def same(expected: object, came: object) -> None:
    """Raise Wrong unless both are equal."""
    expect(expected == came, f"{expected!r}", repr(came))


def shortened(came: object) -> str:
    """A value as one line of at most SHOWN characters that no terminal takes for a command."""
    text = came.decode("utf-8", "replace") if isinstance(came, bytes) else str(came)
    plain = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(plain.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"
