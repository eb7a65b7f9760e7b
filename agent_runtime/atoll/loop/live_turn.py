"""A turn that goes on by itself, and can be followed from any place of it."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from typing import Self

from atoll.wire.events import INTERNAL, Emit, Event, Failure, RunEnd

OnDisconnect = str | float
"""`"cancel"`, `"detach"`, or the seconds that a turn goes on without a client."""

CANCELLED = Failure("cancelled", "the turn was cancelled", "client", 409)

_log = logging.getLogger("atoll.loop")


class LiveTurn:
    """One turn of a session; its events are kept, so that a client that comes back misses none.

    `now` tells the time of its events.
    """

    def __init__(
        self, session_id: str, on_disconnect: OnDisconnect, now: Callable[[], float]
    ) -> None:
        self.id = f"turn_{secrets.token_hex(8)}"
        self.session_id = session_id
        self.events: list[Event] = []
        self.is_over = False
        self._times: list[float] = []
        self._now = now
        self._on_disconnect = on_disconnect
        self._followers = 0
        self._patience: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(
        self, run: Callable[[Emit], Coroutine[object, object, None]], then: Callable[[Self], None]
    ) -> None:
        """Run; the events end with a RunEnd or a Failure whatever happens, and `then` is called."""
        self._task = asyncio.create_task(run(self._say), name=self.id)
        self._task.add_done_callback(self._end)
        self._task.add_done_callback(lambda _: then(self))

    def cancel(self) -> None:
        """Stop it; what the model was doing for it ends, too."""
        if self._task is not None:
            self._task.cancel()

    def since(self, number: int) -> Sequence[tuple[int, Event, float]]:
        """The events after the one of that number, which counts from 1, each with its time."""
        later = range(number, len(self.events))
        return [(at + 1, self.events[at], self._times[at]) for at in later]

    async def wait(self, number: int) -> None:
        """Until there is an event after the one of that number, or it is over."""
        while len(self.events) <= number and not self.is_over:
            await self._news.wait()

    async def ended(self) -> None:
        """Until it is over."""
        while not self.is_over:
            await self._news.wait()

    @contextmanager
    def followed(self) -> Generator[None]:
        """A client listens; the agent's policy says what follows when the last one leaves early."""
        self._followers += 1
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers and not self.is_over:
                self._is_left()

    def _is_left(self) -> None:
        match self._on_disconnect:
            case float() | int() as seconds:
                self._patience = asyncio.get_running_loop().call_later(seconds, self._give_up)
            case "detach":
                pass
            case _:
                self.cancel()

    def _give_up(self) -> None:
        if not self._followers:
            self.cancel()

    def _end(self, task: asyncio.Task[None]) -> None:
        """Also of a task that was cancelled before it ran for the first time."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("a turn broke", exc_info=error)
        if not self.events or not isinstance(self.events[-1], RunEnd | Failure):
            self._note(INTERNAL if error is not None else CANCELLED)
        self.is_over = True
        self._tell()

    async def _say(self, event: Event) -> None:
        self._note(event)

    def _note(self, event: Event) -> None:
        self.events.append(event)
        self._times.append(self._now())
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
