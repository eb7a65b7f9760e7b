"""The sessions of an agent that have a turn under way: one turn at a time in each."""

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, assert_never

from msgspec import Struct

from atoll.errors import Busy, ClientError
from atoll.loop.live_turn import LiveTurn, OnDisconnect
from atoll.loop.session_turn import Asked, Ground, SessionTurn

REJOIN = 60.0
"""Seconds for which a turn that is over can be read again."""
KEPT_EVENTS = 50_000
"""Events of the turns that are over; when there are more, the oldest are forgotten earlier."""
_SESSION_ID = re.compile(r"[A-Za-z0-9_.:@=+~-]{1,128}")
_TAKEN = frozenset((".", "..", "state"))


class SessionBusy(ClientError):
    """A turn of the session is under way, and its agent takes no second one."""

    code = "session_busy"
    status = 409


class Rules(Struct, frozen=True, kw_only=True):
    """What the manifest says; `waiting` is how many turns of one session may wait."""

    concurrency: Literal["enqueue", "reject", "interrupt"] = "enqueue"
    on_disconnect: OnDisconnect = "cancel"
    waiting: int = 100


class Conversations:
    """Begins turns, and finds those again that run or ended within the last minute."""

    def __init__(self, ground: Ground, rules: Rules, now: Callable[[], float]) -> None:
        self._ground = ground
        self._now = now
        self._rules = rules
        self._latest: dict[str, LiveTurn] = {}
        self._under_way: list[LiveTurn] = []
        self._over: deque[tuple[float, LiveTurn]] = deque()
        self._kept_events = 0

    def latest(self, session_id: str) -> LiveTurn | None:
        """The newest turn of a session, None when there is none that could be followed."""
        return self._latest.get(session_id)

    def rejoined(self, session_id: str, last: str) -> tuple[LiveTurn | None, int]:
        """The turn of which a client saw `last`, as `turn_…:7`, and that event's number."""
        turn, _, number = last.partition(":")
        live = self.latest(session_id)
        if live is None or live.id != turn or not number.isdecimal():
            return None, 0
        return live, min(int(number), len(live.events))

    def begin(self, asked: Asked) -> LiveTurn:
        """Begin a turn, which waits for all that its session has under way.

        Raises ClientError for what is no id, SessionBusy or Busy when it would have to
        wait and may not.
        """
        session_id = checked(asked.session_id) if asked.session_id else secrets.token_hex(16)
        before = [turn for turn in self._under_way if turn.session_id == session_id]
        if before:
            self._make_way(session_id, before)
        live = LiveTurn(session_id, self._rules.on_disconnect, self._now)
        self._latest[session_id] = live
        self._under_way.append(live)
        turn = SessionTurn(self._ground, session_id, asked)
        live.start(partial(turn.run, before), then=self._is_over)
        return live

    async def end(self, session_id: str = "") -> bool:
        """End the turns of a session, or all; what was said is kept. False when there was none."""
        turns = [one for one in self._under_way if session_id in ("", one.session_id)]
        for live in turns:
            live.cancel()
        for live in turns:
            await live.ended()
        return bool(turns)

    def _make_way(self, session_id: str, before: Sequence[LiveTurn]) -> None:
        """Let the new turn come after those of `before`, or raise that it may not."""
        match self._rules.concurrency:
            case "enqueue":
                if len(before) > self._rules.waiting:
                    raise Busy(
                        f"{self._rules.waiting} turns of session {session_id!r} wait already"
                    )
            case "reject":
                raise SessionBusy(f"session {session_id!r} has a turn under way; wait for its end")
            case "interrupt":
                for live in before:
                    live.cancel()
            case _:
                assert_never(self._rules.concurrency)

    def _is_over(self, live: LiveTurn) -> None:
        self._under_way.remove(live)
        loop = asyncio.get_running_loop()
        ended_at = loop.time()
        self._over.append((ended_at, live))
        self._kept_events += len(live.events)
        while self._kept_events > KEPT_EVENTS and len(self._over) > 1:
            self._forget_oldest()
        loop.call_later(REJOIN, self._forget_until, ended_at)

    def _forget_until(self, ended_at: float) -> None:
        while self._over and self._over[0][0] <= ended_at:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, live = self._over.popleft()
        self._kept_events -= len(live.events)
        if self._latest.get(live.session_id) is live:
            del self._latest[live.session_id]


def checked(session_id: str) -> str:
    """The id of a session; raises ClientError for one that could not stand in a path."""
    if _SESSION_ID.fullmatch(session_id) is None or session_id in _TAKEN:
        raise ClientError("a session id has 1 to 128 letters, digits and any of _ . : @ = + ~ -")
    return session_id
