"""Ctrl-C and SIGTERM as a cancellation, so that everything that was started is shut down."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


async def cancelled_by_signals(work: Coroutine[None, None, T]) -> T:
    """Do the work; a signal cancels it."""
    task = asyncio.create_task(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task
