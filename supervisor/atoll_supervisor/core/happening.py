"""What happened to a unit or to the daemon, as it is stored, streamed and written into the log.

Made safe when it is made: whoever reads one, from the database or a stream, may
show it on a terminal as it is (attacks.md S35).
"""

from typing import Literal

from msgspec import Struct

from atoll_supervisor.core.effects import Record
from atoll_supervisor.core.phases import Ended
from atoll_supervisor.core.plain import plain_line
from atoll_supervisor.core.row import LastExit
from atoll_supervisor.core.view import Clock

MAX_TEXT = 1000
"""Characters that are kept of a cause: a process's last words may be 64 KiB."""

Kind = Literal["transition", "note"]


class Happening(Struct, frozen=True, kw_only=True):
    """One event. `at` is RFC 3339 in UTC with milliseconds.

    Ids rise for ever, also over a daemon that was killed and a database that
    was lost, but not one by one. `unit` is a slug, "" for the daemon itself;
    `before` and `after` are phase words, "" in a note. `pid` is of the process
    that the lists show afterwards; `exit` is there when a process ended.
    """

    id: int
    at: str
    unit: str
    before: str
    after: str
    cause: str
    generation: int = 0
    pid: int | None = None
    restarts: int = 0
    exit: LastExit | None = None

    @property
    def kind(self) -> Kind:
        """Whether a phase was left for another, or something was merely said."""
        return "transition" if self.after else "note"


def next_id(newest: int, epoch: float) -> int:
    """The id after `newest`: microseconds since the epoch unless that would not rise.

    A plain count would give an id a second time when the daemon dies before the
    first was on the disk, and somebody who saw it would miss the second. Exact
    as a JSON number (below 2**53) until the year 2255.
    """
    return max(newest + 1, int(epoch * 1_000_000))


def of_record(id: int, clock: Clock, unit: str, record: Record) -> Happening:
    """A transition that the core asked to be recorded."""
    return Happening(
        id=id,
        at=_stamp(clock, clock.monotonic),
        unit=unit,
        before=record.before,
        after=record.after,
        cause=_safe(record.cause),
        generation=record.generation,
        pid=record.pid,
        restarts=record.restarts,
        exit=_exit(clock, record.ended),
    )


def of_note(id: int, clock: Clock, unit: str, cause: str) -> Happening:
    """Something worth telling that is no transition."""
    at = _stamp(clock, clock.monotonic)
    return Happening(id=id, at=at, unit=unit, before="", after="", cause=_safe(cause))


def log_line(happening: Happening) -> str:
    """The line of the daemon's own log: `<time> <unit>: <before> -> <after>: <cause> (...)`."""
    return f"{happening.at} {sentence(happening)}"


def sentence(happening: Happening) -> str:
    """What happened to whom, without the time."""
    said = happening.cause
    if happening.after:
        steps = f"{happening.before} -> {happening.after}"
        said = ": ".join(filter(None, (steps, said))) + _numbers(happening)
    return f"{happening.unit}: {said}" if happening.unit else said


def _numbers(happening: Happening) -> str:
    numbers = (("generation", happening.generation), ("restart", happening.restarts))
    told = ", ".join(f"{name} {number}" for name, number in numbers if number)
    return f" ({told})" if told else ""


def _exit(clock: Clock, ended: Ended | None) -> LastExit | None:
    if ended is None:
        return None
    return LastExit(ended.code, ended.signal, _safe(ended.reason), _stamp(clock, ended.at))


def _stamp(clock: Clock, at: float) -> str:
    return clock.rfc3339(at).replace("+00:00", "Z")


def _safe(text: str) -> str:
    line = plain_line(text[: MAX_TEXT + 1])
    return line if len(line) <= MAX_TEXT else f"{line[: MAX_TEXT - 1]}…"
