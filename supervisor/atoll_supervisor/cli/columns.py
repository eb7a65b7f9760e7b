"""Values as a table shows them: pure, and safe for a terminal."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from atoll_supervisor.core.happening import Happening, log_line
from atoll_supervisor.core.plain import plain_line
from atoll_supervisor.core.row import LastExit, Row

HEADINGS = (
    "NAME", "STATUS", "PORT", "PID", "UPTIME", "RESTARTS", "LAST EXIT", "CPU", "MEM", "MODEL",
    "BACKEND",
)  # fmt: skip
MAX_CELL = 32
"""Characters of a cell unless --no-trunc is given."""

_NUMBERS = frozenset(("PORT", "PID", "UPTIME", "RESTARTS", "CPU", "MEM"))
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))


class Table(Struct, frozen=True):
    """Headings and cells, all plain text of one line."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def fleet_table(rows: Sequence[Row], *, now: float, cut: bool = True) -> Table:
    """The fleet as `atoll ps` shows it at `now`, seconds since the epoch."""
    cells = (_cells(row, now) for row in rows)
    return Table(HEADINGS, tuple(tuple(_short(cell, cut) for cell in line) for line in cells))


def reasons(rows: Sequence[Row]) -> list[str]:
    """One line for each agent that is not well, or runs on with a fault: its name and why.

    A reason alone is no fault: one that was stopped, or waits its turn, has one too.
    """
    told = [(row, row.config_error or _fault(row)) for row in rows]
    return [f"{plain_line(row.name)}: {plain_line(why)}" for row, why in told if why]


def details(row: Row) -> list[tuple[str, str]]:
    """Everything known of one agent, for `atoll show`; what is unknown is left out."""
    ended = row.last_exit
    pairs = [
        ("name", row.name),
        ("slug", row.slug),
        ("status", _status(row)),
        ("reason", row.reason),
        ("config error", row.config_error or ""),
        ("url", row.url or ""),
        ("pid", str(row.pid or "")),
        ("model", row.model),
        ("backend", row.backend),
        ("version", row.version),
        ("description", row.description),
        ("capabilities", ", ".join(row.capabilities)),
        ("started at", row.started_at or ""),
        ("uptime", duration(row.uptime_s) if row.uptime_s is not None else ""),
        ("restarts", str(row.restarts)),
        ("last exit", f"{ended.reason}, {ended.at}" if ended else ""),
        ("cpu", _percent(row.cpu_percent) if row.cpu_percent is not None else ""),
        ("memory", size(row.rss_bytes) if row.rss_bytes is not None else ""),
        ("in flight", "" if row.in_flight is None else str(row.in_flight)),
        ("manifest", row.config_path),
    ]
    return [(key, plain_line(value)) for key, value in pairs if value]


def history(happenings: Sequence[Happening]) -> list[tuple[str, str]]:
    """The last events of one agent, for `atoll show`."""
    lines = [plain_line(log_line(replace(one, unit=""))) for one in happenings]
    return [("" if number else "events", line) for number, line in enumerate(lines)]


def plain_table(table: Table) -> str:
    """The table as aligned text, for pipes and dumb terminals."""
    lines = [table.headings, *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_aligned(line, widths, table.headings).rstrip() for line in lines)


def is_number(heading: str) -> bool:
    """Whether a column is aligned to the right."""
    return heading in _NUMBERS


def duration(seconds: float) -> str:
    """`3725.0` as `1h2m`: the two greatest units."""
    left = int(seconds)
    parts: list[str] = []
    for unit, letter in _UNITS:
        if left >= unit or parts:
            parts.append(f"{left // unit}{letter}")
            left %= unit
    return "".join([*parts, f"{left}s"][:2])


def ago(seconds: float) -> str:
    """`125.0` as `2m ago`: the greatest unit."""
    left = max(0, int(seconds))  # a wall clock may have been set back
    found = ((left // unit, letter) for unit, letter in _UNITS if left >= unit)
    count, letter = next(found, (left, "s"))
    return f"{count}{letter} ago"


def exit_word(ended: LastExit) -> str:
    """How a process ended in a word or two; its reason says more."""
    if ended.signal:
        return plain_line(ended.signal)
    return "not started" if ended.code is None else f"code {ended.code}"


def size(count: int) -> str:
    """Bytes as `48M`, in powers of 1024."""
    value, unit = float(count), "B"
    for larger in ("K", "M", "G", "T"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f}{unit}" if value >= 10 or unit == "B" else f"{value:.1f}{unit}"


def _cells(row: Row, now: float) -> tuple[str, ...]:
    return (
        row.name,
        _status(row),
        _or_dash(row.port),
        _or_dash(row.pid),
        "-" if row.uptime_s is None else duration(row.uptime_s),
        str(row.restarts),
        _last_exit(row.last_exit, now),
        "-" if row.cpu_percent is None else _percent(row.cpu_percent),
        "-" if row.rss_bytes is None else size(row.rss_bytes),
        row.model or "-",
        row.backend or "-",
    )


def _status(row: Row) -> str:
    """The public word, and the exact phase where it says more."""
    return row.status if row.phase == row.status else f"{row.status} ({row.phase})"


def _last_exit(ended: LastExit | None, now: float) -> str:
    if ended is None:
        return "-"
    return f"{exit_word(ended)} {ago(now - datetime.fromisoformat(ended.at).timestamp())}"


def _fault(row: Row) -> str:
    """The reason where it is one to worry about; while it runs, why it could not be replaced."""
    told = row.status == "failed" or row.phase in ("running", "backoff")
    return row.reason if told else ""


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)


def _percent(value: float) -> str:
    return f"{value:.1f}%"


def _short(text: str, cut: bool) -> str:
    line = plain_line(text)
    return f"{line[: MAX_CELL - 1]}…" if cut and len(line) > MAX_CELL else line


def _aligned(cells: Sequence[str], widths: Sequence[int], headings: Sequence[str]) -> str:
    return "  ".join(
        cell.rjust(width) if is_number(heading) else cell.ljust(width)
        for cell, width, heading in zip(cells, widths, headings, strict=True)
    )
