"""Lists of runs and of their events, as the API writes them and the command line reads them."""

from msgspec import Struct

from atoll_supervisor.core.runs.events import Told
from atoll_supervisor.core.runs.view import RunRow


class RunList(Struct, frozen=True):
    """Runs, newest first; `next` as `before` gives those that follow."""

    runs: tuple[RunRow, ...]
    count: int
    next: int | None


class RunEvents(Struct, frozen=True):
    """Events of a run, oldest first."""

    events: tuple[Told, ...]
    count: int
