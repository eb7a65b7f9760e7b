"""A job's output on its way to the agent's log: everything, and everything once."""

import asyncio
import os
from pathlib import Path

import pytest

from atoll_supervisor.jobs.output import Output

pytestmark = pytest.mark.anyio
LIMIT = 20


async def test_what_is_passed_on_while_the_follower_is_ended_is_passed_on_once(
    tmp_path: Path,
) -> None:
    """The keeper reads slowly, the job's last words are many, and its relay ends."""
    said = b"".join(b"%07d\n" % number for number in range(50_000))
    (tmp_path / "output").write_bytes(said)
    reader, writer = os.pipe()
    output = Output(tmp_path / "output", from_end=False, to=writer)
    following = asyncio.create_task(output.follow())
    heard = await asyncio.to_thread(os.read, reader, 8)
    following.cancel()

    async def end() -> None:
        await asyncio.gather(following, return_exceptions=True)
        await asyncio.to_thread(output.pass_on)
        os.close(writer)

    ending = asyncio.create_task(end())
    async with asyncio.timeout(LIMIT):
        while piece := await asyncio.to_thread(os.read, reader, 65_536):
            heard += piece
        await ending
    os.close(reader)
    assert heard == said
