"""A real model host process on a random-weight GGUF."""

import os
import socket as sockets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_LIMIT = 30


def start_host(
    gguf: Path | str, socket: Path, **environ: str
) -> tuple[subprocess.Popen[str], sockets.socket]:
    """Start `python -m atoll.modelhost`; returns it and the keeper's end of its channel."""
    ours, theirs = sockets.socketpair(sockets.AF_UNIX, sockets.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "atoll.modelhost",
                "--model",
                str(gguf),
                "--socket",
                str(socket),
            ],
            env={**os.environ, "ATOLL_CHANNEL_FD": str(theirs.fileno()), **environ},
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    return process, ours


def wait_ready(channel: sockets.socket) -> bytes:
    """What the host says first on its channel, b"" when it ends without a word."""
    with channel:
        channel.settimeout(START_LIMIT)
        return channel.recv(100)


def end(process: subprocess.Popen[str]) -> None:
    """Kill the process if it still runs, and close its pipe."""
    process.kill()
    process.communicate(timeout=10)


@contextmanager
def running_host(gguf: Path, socket: Path) -> Iterator[subprocess.Popen[str]]:
    """A host that serves."""
    process, channel = start_host(gguf, socket)
    try:
        said = wait_ready(channel)
        assert said == b"READY=1\n", process.communicate(timeout=10)[1]
        yield process
    finally:
        end(process)
