"""How the daemon becomes the program that is on the disk now (`atoll upgrade`).

The same process goes on with other code: execve(2) keeps the pid, so that
neither systemd nor a waiting shell notices, and the descriptors that are passed
on purpose, so that the lock is never free.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import NoReturn

from atoll.errors import AtollError

REHEARSAL_LIMIT = 30.0
"""Seconds in which the new code must show that it starts."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class UpgradeFailed(AtollError):
    """The code on the disk does not start, so the daemon stays what it is."""

    code = "upgrade_failed"
    status = 500


async def rehearse() -> None:
    """Start the new code once, to no effect; raises UpgradeFailed when it cannot."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-c", "import atoll_supervisor.daemon"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(REHEARSAL_LIMIT):
            _, complaint = await process.communicate()
    except TimeoutError:
        process.kill()
        message = f"the new code does not start within {REHEARSAL_LIMIT:g} s; nothing was changed"
        raise UpgradeFailed(message) from None
    if process.returncode:
        words = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise UpgradeFailed(f"the new code does not start: {words}; nothing was changed")


def hold_signals() -> None:
    """Keep signals that come from now on for the successor, which calls `take_signals`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def keep_signal() -> None:
    """Have the successor hear SIGTERM: for one that reached us after `hold_signals`.

    To this thread, in which it is blocked; sent to the process it would go to
    another thread, and so come here once more.
    """
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)


def take_signals() -> None:
    """Let signals come, also those that came while one daemon became the other."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def become(environ: Mapping[str, str]) -> NoReturn:
    """Run the command line of this process once more, as this process; raises OSError."""
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], dict(environ))  # noqa: S606
