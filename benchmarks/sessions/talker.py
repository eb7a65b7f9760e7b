"""A client of `/stream` that trusts nobody: it counts what it was told, and comes back for more."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import NamedTuple
from urllib.parse import urlencode

from benchmarks.supervision.client import HOST

SILENCE = 30.0
"""Seconds after which a stream has failed; its blank lines come every 15."""
IN_A_SESSION = 100
"""Messages, after which a new session is begun."""


class Told(NamedTuple):
    """One event with its id, `turn:number`."""

    turn: str
    number: int
    kind: str


class Sent(NamedTuple):
    """A message and what became of it; one without an end may be remembered or not."""

    session: str
    text: str
    is_acknowledged: bool


class Talker:
    """Sends numbered messages, each once, and hangs up in the middle of every other answer."""

    def __init__(self, port: int, name: str, chance: random.Random) -> None:
        self.sent: list[Sent] = []
        self.wrong: list[str] = []
        self.rejoined = 0
        self._port = port
        self._name = name
        self._chance = chance
        self._is_over = False

    async def run(self) -> None:
        """Talk until told to stop."""
        while not self._is_over:
            number = len(self.sent)
            session = f"{self._name}-{number // IN_A_SESSION}"
            text = f"message {number}"
            self.sent.append(Sent(session, text, await self._ends(session, text)))

    def stop(self) -> None:
        """Send no more."""
        self._is_over = True

    async def _ends(self, session: str, text: str) -> bool:
        """Whether the end of the answer was told, at once or after coming back."""
        last: Told | None = None
        query = {"message": text, "session_id": session, "ids": "1"}
        while True:
            patience = self._chance.choice((1, 2, 3, 4, 1000))
            try:
                async with aclosing(self._events(query, last)) as events:
                    async for told in events:
                        self.judge(last, told)
                        last = told
                        if told.kind in ("run_end", "error"):
                            return told.kind == "run_end"
                        if not (patience := patience - 1):
                            break
                    else:
                        return False  # it broke off, or there is nothing to come back to
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                return False
            self.rejoined += 1

    def judge(self, last: Told | None, told: Told) -> None:
        """Note an event that cannot follow the last one: of another turn, or told already."""
        if last is None:
            return
        if told.turn != last.turn:
            self.wrong.append(f"{self._name}: {last} was followed by {told} of another turn")
        elif told.number <= last.number:
            self.wrong.append(f"{self._name}: {last} was followed by {told}: told twice")

    async def _events(self, query: dict[str, str], last: Told | None) -> AsyncGenerator[Told, None]:
        """What one connection tells, until it ends."""
        reader, writer = await asyncio.open_connection(HOST, self._port)
        try:
            head = f"GET /stream?{urlencode(query)} HTTP/1.1\r\nHost: {HOST}\r\n"
            head += f"Last-Event-ID: {last.turn}:{last.number}\r\n" if last else ""
            writer.write(f"{head}Connection: close\r\n\r\n".encode())
            place = ""
            while line := await _line(reader):
                if line.startswith("id: "):
                    place = line.removeprefix("id: ")
                elif line.startswith("data: ") and place:
                    turn, _, number = place.rpartition(":")
                    yield Told(turn, int(number), _kind(line))
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _line(reader: asyncio.StreamReader) -> str:
    """The next line, of the stream or of its framing, with its end; "" when there is none."""
    async with asyncio.timeout(SILENCE):
        return (await reader.readline()).decode().rstrip("\r\n") + "\n" * (not reader.at_eof())


def _kind(line: str) -> str:
    return str(json.loads(line.removeprefix("data: "))["type"])
