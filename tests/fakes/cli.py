"""The command line as a person runs it: a process of its own, in a clean environment."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

LIMIT = 40
"""Seconds after which a command has hung."""


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without anything that points at a real fleet."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ATOLL_", "XDG_", "OLLAMA_"))
        and name not in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "STATE_DIRECTORY")
    }
    return kept | {"HOME": str(home), "ATOLL_STATE_DIR": str(home / "state")} | dict(more or {})


async def spawn(
    home: Path, *args: str, more: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start `atoll args` with every stream a pipe."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "atoll_supervisor",
        *args,
        cwd=home,
        env=environment(home, more),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def atoll(
    home: Path, *args: str, stdin: str = "", more: Mapping[str, str] | None = None
) -> Said:
    """Run `atoll args` to its end."""
    process = await spawn(home, *args, more=more)
    try:
        async with asyncio.timeout(LIMIT):
            out, err = await process.communicate(stdin.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return Said(process.returncode or 0, out.decode(), err.decode())
