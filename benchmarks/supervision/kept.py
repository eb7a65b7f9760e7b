"""A load over kept connections, as clients with a pool make it."""

import asyncio
import time
from collections.abc import Sequence
from itertools import count

from benchmarks.supervision.client import (
    HOST,
    LIMIT,
    Answer,
    Exchange,
    Shot,
    kind_of,
    request_for,
)


class KeptLoad:
    """One connection to each port, used again and again: `rate` requests a second in all.

    A connection that was closed while it was idle is opened anew, as every
    client does; only a request that was on its way counts as failed. A
    connection whose request is still unanswered when the next one is due sends
    it as soon as it can; its latency counts from when it was due.
    """

    def __init__(self, ports: Sequence[int], rate: float) -> None:
        self._ports = ports
        self._pause = len(ports) / rate
        self._shots: list[Shot] = []
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> "KeptLoad":
        """Begin."""
        self._tasks = [asyncio.create_task(self._run(port)) for port in self._ports]
        return self

    async def stop(self) -> list[Shot]:
        """Stop; what is in flight is not counted."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return sorted(self._shots)

    async def _run(self, port: int) -> None:
        begin = time.monotonic()
        exchange: Exchange | None = None
        for number in count():
            due = begin + number * self._pause
            if (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            answer, exchange = await _ask(port, exchange)
            self._shots.append(Shot(due, time.monotonic() - due, port, answer))


async def _ask(port: int, kept: Exchange | None) -> tuple[Answer, Exchange | None]:
    """The answer and the connection for the next request."""
    loop = asyncio.get_running_loop()
    exchange = kept
    try:
        async with asyncio.timeout(LIMIT):
            if exchange is None or exchange.closed:
                _, exchange = await loop.create_connection(Exchange, HOST, port)
            answer = await exchange.ask(request_for("/health", keep=True))
    except TimeoutError:
        answer = Answer("timeout")
    except OSError as error:
        return Answer(kind_of(error)), None
    if answer.kind != "ok" and exchange is not None:
        exchange.close()
        return answer, None
    return answer, exchange
