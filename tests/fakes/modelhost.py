"""A real model host process on a random-weight GGUF."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_LIMIT = 30


def start_host(gguf: Path | str, socket: Path, **environ: str) -> tuple[subprocess.Popen[str], int]:
    """Start `python -m atoll.modelhost`; returns it and the reading end of its ready pipe."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "atoll.modelhost", "--model", str(gguf), "--socket", str(socket)],
        env={**os.environ, "ATOLL_READY_FD": str(writing), **environ},
        pass_fds=(writing,),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    return process, reading


def wait_ready(reading: int) -> bytes:
    """What the host says on its ready pipe, b"" when it ends without a word."""
    try:
        assert select.select([reading], [], [], START_LIMIT)[0], "the host said nothing"
        return os.read(reading, 100)
    finally:
        os.close(reading)


def end(process: subprocess.Popen[str]) -> None:
    """Kill the process if it still runs, and close its pipe."""
    process.kill()
    process.communicate(timeout=10)


@contextmanager
def running_host(gguf: Path, socket: Path) -> Iterator[subprocess.Popen[str]]:
    """A host that serves."""
    process, reading = start_host(gguf, socket)
    try:
        said = wait_ready(reading)
        assert said == b"READY=1\n", process.communicate(timeout=10)[1]
        yield process
    finally:
        end(process)
