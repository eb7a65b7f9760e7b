"""Takes requests to agents: one pool of connections each, and patience with those that are not up.

The keeper holds every agent's socket, so connecting wakes one that sleeps, and
a request to one that starts or comes back after a crash waits in the socket's
queue. What was lost with a process before anything of the answer could be passed
on is sent again.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from msgspec import Struct

from atoll.adapters.http1 import IDLE, Answer, Headers, Place, Pool, Unreachable
from atoll.adapters.http1_connection import Broken, Lost, Silent
from atoll.errors import NotFound
from atoll_supervisor.core.row import Row
from atoll_supervisor.gateway.states import (
    NotServing,
    answerable,
    broke_off,
    can_answer,
    is_at_rest,
    is_awake,
    late,
    refusal,
)
from atoll_supervisor.ports import Fleet

PATIENCE = 60.0
"""Seconds that an agent may take to be running again; the longest back-off."""
MOST_SENT = 5
"""Times a request is sent that each time ends its agent before there is an answer."""
MOST_LISTED = 16 * 1024 * 1024
"""Bytes of an answer that the gateway reads for itself."""
_LOOK = 0.25
"""Seconds between two looks at the state of an agent that is waited for."""
_AGAIN = 0.05
"""Seconds before a request is sent again."""
_SILENCE = 86400.0
"""A model may think for long; an agent that hangs is noticed by its heartbeat, not here."""


class Question(Struct, frozen=True):
    """A request to an agent."""

    method: str
    target: str
    headers: Headers = ()
    body: bytes | None = None


class Carrier:
    """Asks the agents of a fleet; `patience` in seconds.

    With `once`, a request that may have reached its agent is never sent again.
    """

    def __init__(self, fleet: Fleet, patience: float = PATIENCE, *, once: bool = False) -> None:
        self._fleet = fleet
        self._patience = patience
        self._most_sent = 1 if once else MOST_SENT
        self._idle = 0.0 if once else IDLE  # on a kept connection nobody knows what arrived
        self._pools: dict[str, tuple[str, Pool]] = {}

    @asynccontextmanager
    async def ask(self, slug: str, question: Question) -> AsyncGenerator[Answer]:
        """Wait until the agent's answer has begun; leaving early closes the connection.

        Raises NotServing when the agent does not run and will not within the
        patience, WentAway when it breaks off, NotFound when it is removed.
        """
        async with AsyncExitStack() as stack:
            yield await self._answered(stack, slug, question)

    async def whole(self, slug: str, question: Question) -> bytes:
        """The body of an answer that has to be a 200; raises as `ask` does."""
        async with self.ask(slug, question) as answer:
            try:
                body = await answer.whole(MOST_LISTED)
            except (Broken, Silent) as error:
                raise broke_off(slug, str(error)) from None
        if answer.status != 200:
            raise broke_off(slug, f"it answered {answer.status} to {question.target}")
        return body

    def forget_all_but(self, slugs: Collection[str]) -> None:
        """Let go of the connections to agents that are no more."""
        for slug in self._pools.keys() - set(slugs):
            self._pools.pop(slug)[1].close()

    async def _answered(self, stack: AsyncExitStack, slug: str, question: Question) -> Answer:
        try:
            async with asyncio.timeout(self._patience) as limit:
                vigil = _Vigil(self._fleet, slug, limit, self._patience)
                try:
                    return await self._sent(stack, slug, question, vigil)
                finally:
                    vigil.end()
        except TimeoutError:
            raise self._late(slug) from None

    async def _sent(
        self, stack: AsyncExitStack, slug: str, question: Question, vigil: "_Vigil"
    ) -> Answer:
        sent = 0
        while True:
            try:
                pool = self._pool(answerable(self._fleet.row(slug)))
                asked = pool.ask(
                    question.method, question.target, question.headers, question.body, _SILENCE
                )
                answer = await stack.enter_async_context(asked)
                await answer.begun()
                return answer
            except Unreachable:
                vigil.refused = True
            except Broken as error:
                await stack.aclose()
                sent += 1
                if not isinstance(error, Lost) or sent == self._most_sent:
                    raise broke_off(slug, str(error)) from None
            await asyncio.sleep(_AGAIN)

    def _pool(self, row: Row) -> Pool:
        """The connections to where the agent listens now."""
        url, pool = self._pools.get(row.slug, ("", None))
        if pool is None or url != row.url:
            if pool is not None:
                pool.close()
            url, pool = row.url or "", Pool(_place(row), idle=self._idle)
            self._pools[row.slug] = (url, pool)
        return pool

    def _late(self, slug: str) -> NotServing:
        row = self._fleet.row(slug)
        return late(row, self._patience) if can_answer(row) else refusal(row)


class _Vigil:
    """Moves the deadline of a request along while its agent runs, and to now when it rests.

    Only time in which the agent does not run counts: a model may take as long as it likes
    for its first token. `refused` tells that lately nobody listened, whatever its phase.
    """

    def __init__(self, fleet: Fleet, slug: str, limit: asyncio.Timeout, patience: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._fleet = fleet
        self._slug = slug
        self._limit = limit
        self._patience = patience
        self._timer = self._loop.call_later(_LOOK, self._look)
        self.refused = False

    def end(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        if self._limit.expired():
            return
        now = self._loop.time()
        try:
            row = self._fleet.row(self._slug)
        except NotFound:
            self._limit.reschedule(now)
            return
        if is_at_rest(row):
            self._limit.reschedule(now)
        elif is_awake(row) and not self.refused:
            self._limit.reschedule(now + self._patience)
        self.refused = False
        self._timer = self._loop.call_later(_LOOK, self._look)


def _place(row: Row) -> Place:
    """Where the agent listens; one that was only just found may not have its port yet."""
    url = urlsplit(row.url or "")
    if not url.hostname or not url.port:
        raise Unreachable("it has no port yet")
    return Place(url.hostname, url.port)
