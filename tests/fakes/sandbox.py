"""Real sandboxes for tests: whether there can be one here, small limits, a host that answers."""

import functools
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from atoll.adapters.sandbox.bubblewrap import Bubblewrap, open_bubblewrap
from atoll.adapters.sandbox.command import Limits
from atoll.adapters.sandbox.space import Space
from atoll.errors import Busy

SMALL = Limits(memory=300_000_000, processes=12, seconds=20.0, disk=20_000_000, output=100_000)


class EchoHost:
    """Answers each prompt in capitals, up to a number of prompts."""

    def __init__(self, calls: int = 50) -> None:
        self.left = calls
        self.asked: list[str] = []

    async def ask(self, prompts: Sequence[str]) -> Sequence[str]:
        if len(prompts) > self.left:
            raise Busy("no calls are left")
        self.left -= len(prompts)
        self.asked += prompts
        return [prompt.upper() for prompt in prompts]


@functools.cache
def why_no_sandbox() -> str:
    """Why no sandbox can be made here, in bubblewrap's own words; "" when one can."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return "bubblewrap is not installed"
    tried = subprocess.run(
        [bwrap, "--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "true"],
        capture_output=True,
        text=True,
    )
    return tried.stderr.strip() if tried.returncode else ""


needs_sandbox = pytest.mark.skipif(bool(why_no_sandbox()), reason=why_no_sandbox() or "-")


@asynccontextmanager
async def engine(limits: Limits = SMALL) -> AsyncIterator[Bubblewrap]:
    made = await open_bubblewrap(limits)
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def space(limits: Limits = SMALL) -> AsyncIterator[Space]:
    async with engine(limits) as made:
        opened = await made.open()
        try:
            yield opened
        finally:
            await opened.close()
