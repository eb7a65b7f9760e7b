"""Tells the request that is being answered that its client is gone.

ASGI has a message for it that somebody must wait for, which takes a task for each
request and costs more than the turn of the loop. A connection of ours calls instead.
"""

import asyncio
from collections.abc import Awaitable, Callable

from litestar.types import Scope

_EXTENSION = "atoll.hangup"


class Hangup:
    """The end of one connection, on which at most one request is being answered at a time."""

    def __init__(self) -> None:
        self.is_over = False
        self.then: Callable[[], object] | None = None
        self.extensions: dict[str, dict[object, object]] = {_EXTENSION: {"of": self}}
        """What a request's scope has of it."""

    def tell(self) -> None:
        """The client is gone."""
        self.is_over = True
        if self.then is not None:
            self.then()


async def while_connected(scope: Scope, work: Awaitable[None]) -> None:
    """Await `work`, cancelling it when the client hangs up; returns quietly then.

    This is what ends the generation at the model (row C14 of ollama-api.md). The
    work stays in this task: another would cost too much.
    """
    task, hangup, is_lost = asyncio.current_task(), _hangup_of(scope), False
    assert task is not None
    before = task.cancelling()

    def hang_up() -> None:
        nonlocal is_lost
        is_lost = is_lost or task.cancel()

    hangup.then = hang_up
    if hangup.is_over:
        hang_up()
    try:
        await work
    except asyncio.CancelledError:
        if not is_lost or task.uncancel() > before:
            raise
    finally:
        hangup.then = None


def _hangup_of(scope: Scope) -> Hangup:
    extensions = scope["extensions"]
    hangup = extensions[_EXTENSION]["of"] if extensions else None
    assert isinstance(hangup, Hangup)  # every server of ours has BoundedProtocol
    return hangup
