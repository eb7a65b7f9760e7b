"""Threads for tools that block.

Not `asyncio.to_thread`: its pool is as small as the machine and is joined when
the process ends, so that a few hung tools would starve all others and keep a
stopped agent alive.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from msgspec import Struct

MOST = 64
"""Threads alive at once; a hung tool holds its thread until the process ends."""

Function = Callable[..., object]


class Ended(Struct, frozen=True):
    """What a function came to: its value, or what it raised."""

    value: object = None
    error: BaseException | None = None


class ToolThreads:
    """Runs each function in a daemon thread of its own, at most `most` at once.

    Used from one event loop only, which alone counts.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._alive = 0

    @property
    def full(self) -> bool:
        """Whether every thread is taken."""
        return self._alive >= self._most

    async def run(self, function: Function, arguments: Mapping[str, object]) -> object:
        """Call `function`; raises what it raises, and RuntimeError for a BaseException of it.

        Cancelling the caller leaves the thread to itself: nobody can end it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Ended] = loop.create_future()

        def work() -> None:
            ended = _ended(function, arguments)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._hand_over, future, ended)

        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(work,), daemon=True, name="tool").start()
        self._alive += 1
        ended = await future
        if ended.error is not None:
            raise ended.error
        return ended.value

    def _hand_over(self, future: asyncio.Future[Ended], ended: Ended) -> None:
        self._alive -= 1
        if not future.done():
            future.set_result(ended)


def _ended(function: Function, arguments: Mapping[str, object]) -> Ended:
    try:
        return Ended(value=function(**arguments))
    except (Exception, SystemExit) as error:  # noqa: BLE001  told to the caller
        return Ended(error=error)
    except BaseException as error:  # noqa: BLE001  raised in a loop, these would end it
        return Ended(error=RuntimeError(type(error).__name__))
