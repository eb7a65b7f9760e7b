"""What goes on without the daemon: a virtual clock, the keeper with its processes, the disk."""

import heapq
from collections.abc import Callable
from itertools import count

from msgspec import Struct

from atoll_supervisor.core.adopt import Memory, Survivor
from atoll_supervisor.core.reconcile import Broken, Found
from atoll_supervisor.core.spec import UnitSpec

Action = Callable[[], None]


class Clock:
    """Virtual time in seconds; nothing happens between two entries."""

    def __init__(self) -> None:
        self.now = 0.0
        self._queue: list[tuple[float, int, Action]] = []
        self._ticket = count()

    def after(self, delay: float, action: Action) -> None:
        heapq.heappush(self._queue, (self.now + max(0.0, delay), next(self._ticket), action))

    def run_until(self, end: float) -> None:
        while self._queue and self._queue[0][0] <= end:
            at, _, action = heapq.heappop(self._queue)
            self.now = max(self.now, at)
            action()
        self.now = max(self.now, end)


class Child(Struct, kw_only=True, eq=False):
    """A process, or its launch, from the keeper's command until the daemon has noted its end."""

    slug: str
    generation: int
    checksum: str
    since: float
    pid: int | None = None
    ready: bool = False
    told_at: float | None = None
    gone: bool = False
    end: tuple[int | None, str | None] = (None, None)
    hung_at: float | None = None
    mute: bool = False
    deaf: bool = False
    lives: int = 1

    def survivor(self) -> Survivor:
        """The child as the keeper tells a new daemon of it."""
        return Survivor(
            generation=self.generation,
            pid=self.pid,
            since=self.since,
            ready=self.ready,
            told=self.told_at is not None,
            gone=self.gone,
            checksum=self.checksum,
        )


class Keeper:
    """Processes and sockets by slug; `clients` wait in the backlog, `watched` are told of."""

    def __init__(self) -> None:
        self.children: dict[tuple[str, int], Child] = {}
        self.memories: dict[str, Memory] = {}
        self.sockets: set[str] = set()
        self.clients: dict[str, int] = {}
        self.watched: set[str] = set()

    def of(self, slug: str) -> list[Child]:
        return [child for child in self.children.values() if child.slug == slug]

    def serving(self, slug: str) -> Child | None:
        """Who accepts connections: the newest that is ready and was not told to go."""
        serves = [
            child
            for child in self.of(slug)
            if child.ready and not child.gone and child.told_at is None and child.hung_at is None
        ]
        return serves[-1] if serves else None

    def to_stay(self) -> dict[str, Child]:
        """Of each slug the newest process that is ready, lives, and was not to go."""
        return {
            child.slug: child
            for child in self.children.values()
            if child.ready and not child.gone and child.told_at is None
            if child.generation in self.memories[child.slug].stay
        }

    def close(self, slug: str) -> None:
        self.sockets.discard(slug)
        self.watched.discard(slug)
        self.clients.pop(slug, None)


class Disk:
    """The agents directory, and the state file with what is not wanted."""

    def __init__(self) -> None:
        self.manifests: dict[str, UnitSpec | str] = {}
        """A manifest with a mistake is what is wrong with it."""
        self.unwanted: frozenset[str] = frozenset()
        self.full = False
        self.saved_at = 0.0

    def found(self) -> list[Found]:
        """What discovery makes of the directory."""
        return [
            Broken(slug, f"{slug}/agent.toml", found) if isinstance(found, str) else found
            for slug, found in sorted(self.manifests.items())
        ]

    def good(self) -> dict[str, UnitSpec]:
        return {
            slug: found for slug, found in self.manifests.items() if isinstance(found, UnitSpec)
        }
