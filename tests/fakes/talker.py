"""A client of `WS /ws/chat`, as a real WebSocket library speaks."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.fakes.serving import Served

LIMIT = 20


class Talker:
    """One connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def say(self, content: str, **frame: object) -> None:
        self.send(type="message", content=content, **frame)

    def send(self, **frame: object) -> None:
        self.connection.send(json.dumps(frame))

    def frame(self) -> dict[str, Any]:
        return json.loads(self.connection.recv(timeout=LIMIT))

    def event(self) -> dict[str, Any]:
        frame = self.frame()
        assert frame["type"] == "event", frame
        return frame["data"]

    def until(self, *kinds: str) -> list[dict[str, Any]]:
        """The events up to the first of one of these kinds."""
        events = [self.event()]
        while events[-1]["kind"] not in kinds:
            events.append(self.event())
        return events

    def command(self, command: str, **frame: object) -> dict[str, Any]:
        self.send(type="command", command=command, **frame)
        while (answer := self.frame())["type"] != "command_result":
            pass
        return answer["result"]

    def closed(self) -> int:
        """The code that the server closes with, whatever it says before."""
        try:
            while True:
                self.connection.recv(timeout=LIMIT)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006


def talking(served: Served, **options: Any) -> AbstractContextManager[Talker]:
    return talking_to(served.url, **options)


@contextmanager
def talking_to(address: str, **options: Any) -> Iterator[Talker]:
    """With the agent whose http address that is."""
    url = f"{address.replace('http', 'ws', 1)}/ws/chat"
    with connect(url, open_timeout=LIMIT, close_timeout=LIMIT, **options) as connection:
        yield Talker(connection)
