"""One child as a tool: whom it means now, how often it is asked, when it is left alone."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from msgspec import Struct
from msgspec.structs import replace

from atoll.adapters.children.answering import Answering
from atoll.adapters.children.asking import asked
from atoll.adapters.children.caller import Caller
from atoll.adapters.children.directory import Directory
from atoll.adapters.peer import Peer, UpstreamStatus
from atoll.adapters.upstream import Upstream, UpstreamBusy
from atoll.config.manifest import SubAgent
from atoll.core.breaker import Breaker, Closed, Open, admitted, after, given_up
from atoll.core.finding import Asker, NoChild, Seen, chosen, meaning
from atoll.core.hops import GoesRound
from atoll.core.papers import Journey, Seal
from atoll.errors import AtollError, UpstreamError, UpstreamLost, UpstreamRefused
from atoll.ports import Outcome
from atoll.wire.events import Warning

LIMIT = 300.0
"""Seconds that a child has, when the budget leaves as many."""
MOST_SENT = 5
"""Times a task is sent that each time ends the child before it says anything."""
RESTART = 60.0
"""Seconds in which a child that went away may come back."""
AGAIN = 0.05
"""Seconds before it is asked again."""


class ChildLost(UpstreamError):
    """A child went away in the middle of its answer: what it did cannot be done again."""

    code = "child_lost"
    who = "agent"


class Target(Struct, frozen=True):
    """Whom a call goes to; `slug` is "" for one that is no agent of this fleet."""

    name: str
    url: str
    slug: str = ""


class Means(Struct, frozen=True):
    """What all children of an agent share; `tokens` by the name of the child's table."""

    directory: Directory
    seal: Seal
    tokens: dict[str, str]
    most: int


class Child:
    """The child of the table `name`."""

    def __init__(self, name: str, table: SubAgent, means: Means) -> None:
        self.name = name
        self.table = table
        self._means = means
        self._breaker: Breaker = Closed()
        self._upstreams: dict[str, Upstream] = {}

    @property
    def known(self) -> Seen | None:
        """What the daemon last told of the agent that is meant."""
        return next(iter(meaning(self.table, self._means.directory.last)), None)

    @property
    def warning(self) -> str:
        """That it is left alone, "" when it is not."""
        if left := self._rests_for():
            return f"{self.name} failed again and again: it is left alone for {left:.0f} s"
        return ""

    async def call(self, task: str, caller: Caller) -> Outcome:
        """Have the task done; what goes wrong is a failed Outcome.

        Only a child that goes away in the middle of its answer ends the whole turn:
        raises ChildLost.
        """
        now = asyncio.get_running_loop().time()
        if (breaker := admitted(self._breaker, now)) is None:
            await caller.say(Warning(self.warning or f"{self.name} is being tried by another call"))
            return _failed(f"{self.name} was not asked: it failed again and again; try later")
        self._breaker = breaker
        is_well: bool | None = None
        try:
            outcome, is_well = await self._tried(task, caller)
            return outcome
        except ChildLost:
            is_well = False
            raise
        finally:
            if told := self._noted(is_well):
                await caller.say(Warning(told))

    async def close(self) -> None:
        """Give up every connection."""
        for upstream in self._upstreams.values():
            await upstream.close()

    async def _tried(self, task: str, caller: Caller) -> tuple[Outcome, bool | None]:
        """The outcome, and whether the child works; None where that was not tried."""
        left = caller.journey.allowance.seconds
        seconds = LIMIT if left is None else min(LIMIT, left)
        if not seconds:
            return _failed(f"{self.name} was not asked: the turn's time is over"), None
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await self._answered(task, caller), True
        except TimeoutError:
            return _failed(f"{self.name} did not answer within {seconds:.3g} s"), False
        except ChildLost:
            raise
        except UpstreamError as error:
            await caller.say(Warning(f"{self.name}: {error}"))
            return _failed(f"{self.name} failed: {error}"), None if _is_a_refusal(error) else False
        except GoesRound as error:
            await caller.say(Warning(str(error)))
            return _failed(str(error)), None
        except AtollError as error:
            return _failed(f"{self.name} was not asked: {error}"), None

    async def _answered(self, task: str, caller: Caller) -> Outcome:
        """Ask, and again when the child went away before it had said anything."""
        loop, sent, until = asyncio.get_running_loop(), 0, 0.0
        while True:
            target = await self._target(caller)
            answering = Answering(target.name, caller, self._means.most)
            try:
                return await self._asked(target, task, caller, answering)
            except (UpstreamLost, UpstreamBusy) as error:  # busy is also one that stops
                if answering.has_begun:
                    raise ChildLost(f"{self.name} went away in mid-answer: {error}") from None
                sent, until = sent + 1, loop.time() + RESTART
                if sent == MOST_SENT:
                    raise
            except UpstreamRefused:
                if loop.time() >= until:  # it was never there, or stays away
                    raise
            await asyncio.sleep(AGAIN)

    async def _asked(
        self, target: Target, task: str, caller: Caller, answering: Answering
    ) -> Outcome:
        async with self._counted(target):
            events = asked(self._upstream(target), task, _journey(caller), self._means.seal)
            async with aclosing(events):
                async for event in events:
                    await answering.take(event)
        return answering.outcome or _failed(f"{self.name} ended without an answer")

    async def _target(self, caller: Caller) -> Target:
        """Whom the table means now; raises NoChild and GoesRound."""
        if self.table.url:
            return Target(self.name, self.table.url)
        rows = await self._means.directory.rows()
        asker = Asker(caller.journey.hops, self._means.seal.realm)
        row = chosen(self.table, rows, asker, self._means.directory.busy)
        return Target(row.slug, row.url or "", row.slug)

    @asynccontextmanager
    async def _counted(self, target: Target) -> AsyncGenerator[None]:
        busy = self._means.directory.busy
        busy[target.slug] += 1
        try:
            yield
        finally:
            busy[target.slug] -= 1

    def _upstream(self, target: Target) -> Upstream:
        url = target.url.rstrip("/")
        if url not in self._upstreams:
            remedy = "start it, or mend the url" if not target.slug else "see `atoll ps`"
            token = self._means.tokens.get(self.name, "")
            peer = Peer(name=target.name, url=url, remedy=remedy, timeout=LIMIT, api_key=token)
            self._upstreams[url] = Upstream(peer)
        return self._upstreams[url]

    def _noted(self, is_well: bool | None) -> str:
        """Note how a call ended; the words of a change that a person should know."""
        now, before = asyncio.get_running_loop().time(), self._breaker
        if is_well is None:
            self._breaker = given_up(before, now)
            return ""
        rest = self.table.health_check_interval
        self._breaker = after(before, now, rest, is_well=is_well)
        if isinstance(self._breaker, Open) and not isinstance(before, Open):
            return self.warning
        if isinstance(self._breaker, Closed) and not isinstance(before, Closed):
            return f"{self.name} answers again"
        return ""

    def _rests_for(self) -> float:
        if not isinstance(self._breaker, Open):
            return 0.0
        return max(0.0, self._breaker.until - asyncio.get_running_loop().time())


def _is_a_refusal(error: UpstreamError) -> bool:
    """Whether the child works, and only did not want this call now."""
    return isinstance(error, UpstreamStatus) and (error.answered < 500 or error.answered == 503)


def _journey(caller: Caller) -> Journey:
    """The way to the caller, with what its child may use; raises NoChild when that is nothing."""
    journey = caller.journey
    left = journey.allowance
    if left.tokens == 0:
        raise NoChild("nothing is left of the turn's tokens")
    seconds = LIMIT if left.seconds is None else min(left.seconds, LIMIT)
    return replace(journey, allowance=replace(left, seconds=seconds))


def _failed(text: str) -> Outcome:
    return Outcome(text, failed=True)
