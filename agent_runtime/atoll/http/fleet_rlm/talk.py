"""One client's WebSocket: frames are obeyed as they come, turns are told in the order they began.

Reading never waits for telling, so that `cancel` is heard while a turn streams
(RL1 in seeds-contract.md section 7). The turns are those of every other dialect:
same sessions, same rules for a second one, same policy for a client that leaves.
"""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import NamedTuple, assert_never

import msgspec
from litestar.types import Receive, Send

from atoll.errors import AtollError, Busy, ClientError
from atoll.http.decoding import decode
from atoll.http.faults import STOPPING, TurnFailed, failure_of
from atoll.http.fleet_rlm.commands import refused, reset
from atoll.http.fleet_rlm.projection import FleetProjection
from atoll.http.fleet_rlm.wire import CommandResult, ErrorFrame, EventData, EventFrame, Frame
from atoll.loop.agent import Agent
from atoll.loop.live_turn import LiveTurn
from atoll.loop.session_turn import Asked
from atoll.wire.events import Event, Failure, RunEnd
from atoll.wire.json import JsonObject

RESTART, BROKEN, ABUSE, NOT_TEXT = 1012, 1011, 1008, 1003
"""Close codes (RFC 6455 section 7.4 and its registry)."""
MOST_UNTOLD = 16
"""Turns of one connection that have begun and are not told to their ends."""
MOST_FAULTS = 100
"""Frames in a row that could not be read; whoever sends more is no client of this."""

_decoder = msgspec.json.Decoder(Frame)
_encode = msgspec.json.Encoder().encode


class _Turn(NamedTuple):
    """A turn that is to be told, after the event of that number."""

    live: LiveTurn
    number: int
    projection: FleetProjection
    leave: Callable[[], None]


class Talk:
    """Holds one accepted connection."""

    def __init__(self, agent: Agent, send: Send) -> None:
        self._agent = agent
        self._send = send
        self._session_id = ""
        self._untold: list[_Turn] = []
        self._news = asyncio.Event()
        self._faults = 0
        self._leaving = False

    async def hold(self, receive: Receive) -> None:
        """Until the client or the server leaves; what a client leaves behind follows the policy."""
        try:
            async with asyncio.TaskGroup() as group:
                telling = group.create_task(self._tell_all())
                await self._read(receive)
                telling.cancel()
        finally:
            for turn in self._untold:
                turn.leave()

    async def error(self, failure: Failure) -> None:
        """Tell the client what was not done, and why."""
        await self._write(ErrorFrame(failure.message, failure.code, failure.who))

    async def close(self, code: int, reason: str) -> None:
        """Say good-bye."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _read(self, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.receive":
                if not await self._heard(message.get("text")):
                    return
            elif message["type"] == "websocket.disconnect":
                if message["code"] != RESTART or self._leaving:
                    return
                self._leaving = True  # whoever tells the turns closes after the last of them
                self._news.set()

    async def _heard(self, text: str | None) -> bool:
        """Obey one frame; False when it was the last one that is heard."""
        if text is None:
            await self.close(NOT_TEXT, "frames are JSON texts")
            return False
        try:
            frame = decode(_decoder, text.encode())
        except ClientError as error:
            self._faults += 1
            await self.error(failure_of(error))
        else:
            self._faults = 0
            await self._answer(frame)
        if self._faults < MOST_FAULTS:
            return True
        await self.close(ABUSE, f"{MOST_FAULTS} frames in a row could not be read")
        return False

    async def _answer(self, frame: Frame) -> None:
        try:
            await self._obey(frame)
        except (AtollError, TurnFailed) as error:
            await self.error(failure_of(error))

    async def _obey(self, frame: Frame) -> None:
        match frame.type:
            case "message":
                self._begin(frame)
            case "cancel":
                self._cancel(frame.session_id)
            case "command":
                result = await self._command(frame)
                await self._write(CommandResult(frame.command, result))
            case _:
                assert_never(frame.type)

    def _begin(self, frame: Frame) -> None:
        if not frame.content.strip():
            raise ClientError("a message needs a `content` that says something")
        if frame.docs_path:
            raise ClientError("docs_path is not served: send the text of the document in `content`")
        self._check_room()
        session_id = frame.session_id or self._session_id
        live = self._agent.conversations.begin(Asked(message=frame.content, session_id=session_id))
        self._session_id = live.session_id
        self._tell_later(live, 0, frame)

    def _check_room(self) -> None:
        if self._leaving:
            raise TurnFailed(STOPPING)
        if len(self._untold) >= MOST_UNTOLD:
            raise Busy(f"this connection has {MOST_UNTOLD} turns under way; wait for one to end")

    def _cancel(self, session_id: str | None) -> None:
        """End the turns that are under way here, or those of them that are of that session."""
        for turn in self._untold:
            if session_id in (None, "", turn.live.session_id):
                turn.live.cancel()

    async def _command(self, frame: Frame) -> JsonObject:
        session_id = frame.session_id or self._session_id
        match frame.command:
            case "reset":
                return await reset(self._agent, session_id)
            case "resume":
                return self._resume(frame, session_id)
            case _:
                return refused(frame.command)

    def _resume(self, frame: Frame, session_id: str) -> JsonObject:
        """Tell the rest of a turn after `args.last_event_id`, without a gap or a repeat."""
        self._check_room()
        last = frame.args.get("last_event_id")
        conversations = self._agent.conversations
        live, number = conversations.rejoined(session_id, last if isinstance(last, str) else "")
        if live is None:
            error = "nothing to come back to: name `session_id` and `args.last_event_id` of a turn"
            return {
                "status": "error",
                "error": f"{error} that runs or ended within the last minute",
            }
        self._session_id = session_id
        self._tell_later(live, number, frame)
        return {"status": "ok", "session_id": session_id, "turn_id": live.id}

    def _tell_later(self, live: LiveTurn, number: int, frame: Frame) -> None:
        following = ExitStack()
        following.enter_context(live.followed())  # from now on, not only from its telling on
        projection = FleetProjection(live.session_id, live.id, frame.tracing)
        self._untold.append(_Turn(live, number, projection, following.close))
        self._news.set()

    async def _tell_all(self) -> None:
        while self._untold or not self._leaving:
            if self._untold:
                await self._tell(self._untold[0])
                self._untold.pop(0).leave()
            else:
                self._news.clear()
                await self._news.wait()
        await self.close(RESTART, "the agent restarts or stops; come again")

    async def _tell(self, turn: _Turn) -> None:
        live, number = turn.live, turn.number
        for _, event, _ in live.since(0)[:number]:
            list(turn.projection.told(event))  # known already; what follows builds on it
        while not (live.is_over and number == len(live.events)):
            for place, event, at in live.since(number):
                await self._say(turn, place, event, at)
                number = place
            await live.wait(number)

    async def _say(self, turn: _Turn, place: int, event: Event, at: float) -> None:
        turns = 0
        if isinstance(event, RunEnd | Failure):
            turns = await self._turns_of(turn.live.session_id)
        stamp = datetime.fromtimestamp(at, UTC).isoformat()
        said = list(turn.projection.told(event, turns))
        for left, (kind, text, payload) in zip(reversed(range(len(said))), said, strict=True):
            event_id = "" if left else f"{turn.live.id}:{place}"
            await self._write(EventFrame(EventData(kind, text, payload, stamp, event_id)))

    async def _turns_of(self, session_id: str) -> int:
        try:
            info = await self._agent.sessions.about(session_id)
        except AtollError:
            return 0  # the turn is over, and its client is to hear of that
        return info.turns if info else 0

    async def _write(self, frame: EventFrame | CommandResult | ErrorFrame) -> None:
        text = _encode(frame).decode()
        await self._send({"type": "websocket.send", "bytes": None, "text": text})
