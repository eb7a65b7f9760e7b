"""How many runs are under way at once; the others wait in the order in which they came."""

from collections.abc import Callable

from atoll_supervisor.loop.run_work import Work


class Lane:
    """At most `limit` of those that entered and have not left are started."""

    def __init__(self, limit: int, start: Callable[[Work], None]) -> None:
        self._limit = limit
        self._start = start
        self._waiting: dict[Work, None] = {}
        self._under_way: set[Work] = set()

    @property
    def is_empty(self) -> bool:
        """Whether nobody is under way or waits."""
        return not self._under_way and not self._waiting

    def enter(self, work: Work) -> None:
        """Start it now, or when there is room."""
        self._waiting[work] = None
        self._fill()

    def leave(self, work: Work) -> None:
        """It is over, or will not wait any longer; one that is not here is no fault."""
        self._waiting.pop(work, None)
        self._under_way.discard(work)
        self._fill()

    def _fill(self) -> None:
        while self._waiting and len(self._under_way) < self._limit:
            work = next(iter(self._waiting))
            del self._waiting[work]
            self._under_way.add(work)
            self._start(work)
