"""A daemon that went away under a command that follows it, as in an upgrade."""

import asyncio
import time

from atoll_supervisor.cli.codes import Failure
from atoll_supervisor.cli.target import connect

PATIENCE = 10.0
"""Seconds that a daemon may take to come back."""
_POLL = 0.25


async def is_back() -> bool:
    """Wait until a daemon answers, for so long as an upgrade may take."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        await asyncio.sleep(_POLL)
        try:
            async with connect() as daemon:
                await daemon.health()
        except Failure:
            continue
        return True
    return False
