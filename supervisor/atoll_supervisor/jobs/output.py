"""What a job writes goes on to standard output, which the keeper keeps as the agent's log."""

import asyncio
import os
from pathlib import Path

PAUSE = 0.25
"""Seconds between two looks."""
PIECE = 65_536
MOST = 16 * 1024 * 1024
"""Bytes that a job's file may have; a longer one has been passed on and is emptied."""


class Output:
    """Follows one file, which may not be there yet, to descriptor `to`."""

    def __init__(self, path: Path, *, from_end: bool, to: int = 1) -> None:
        self._path = path
        self._to = to
        self._at = _size(path) if from_end else 0

    async def follow(self) -> None:
        """Pass on what is written, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            passing = loop.run_in_executor(None, self.pass_on)
            try:
                await asyncio.shield(passing)
            except asyncio.CancelledError:
                await passing  # a thread goes on, and nobody else may pass on meanwhile
                raise
            await asyncio.sleep(PAUSE)

    def pass_on(self) -> None:
        """Everything that there is now."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                while piece := file.read(PIECE):
                    _write(self._to, piece)
                    self._at += len(piece)
            if self._at > MOST:
                os.truncate(self._path, 0)  # the job appends
                self._at = 0
        except OSError:
            return  # not there yet, or the file system is away


def _write(to: int, data: bytes) -> None:
    while data:
        data = data[os.write(to, data) :]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
