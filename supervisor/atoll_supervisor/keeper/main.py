"""From the command line to a running keeper: one per socket path, alone, with nothing inherited."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from atoll_supervisor.keeper.claim import Claim, Occupied, claim
from atoll_supervisor.keeper.journal import Journal
from atoll_supervisor.keeper.keeper import Given, Keeper
from atoll_supervisor.keeper.kernel import become_subreaper, name_process, raise_descriptor_limit
from atoll_supervisor.keeper.tree import kill_family

NAME = "atoll-keeper"
OCCUPIED = 3
"""Exit code when another keeper has the socket; connect to that one."""
FAILED = 1
_STANDARD = 2
"""The last of standard input, output and error."""
_PAUSE = 0.01
_ROUNDS = 100
"""How often what a dead keeper left is looked for; it can fork between two looks."""


def main(arguments: list[str]) -> int:
    """Run a keeper until it leaves; returns the exit code."""
    if len(arguments) != len(("SOCKET", "LOG")):
        sys.stderr.write("usage: atoll_supervisor/keeper SOCKET LOG (`atoll up` starts it)\n")
        return FAILED
    path, log = (Path(argument).absolute() for argument in arguments)
    _detach(log)
    journal = Journal(log)
    try:
        claimed = claim(path)
    except Occupied as error:
        journal.say(str(error))
        return OCCUPIED
    except OSError as error:
        journal.say(f"cannot be the keeper of {path}: {error.strerror or error}")
        return FAILED
    code = _run(claimed, journal)
    claimed.release()
    journal.close()
    return code


def _run(claimed: Claim, journal: Journal) -> int:
    """Be the keeper; what cannot be had at the start ends it with a sentence."""
    given = Given(claimed.family, raise_descriptor_limit())
    become_subreaper()
    name_process(NAME)
    if left := _bury_predecessor(claimed.family):
        journal.say(f"ended {left} processes that a keeper which was killed had left")
    try:
        listener = claimed.listen()
    except OSError as error:
        journal.say(f"cannot listen: {error.strerror or error}")
        return FAILED
    keeper = Keeper(listener, given, journal.say)
    _hear_signals(keeper)
    journal.say(f"started (pid {os.getpid()})")
    keeper.run()
    journal.say("left")
    return 0


def _detach(log: Path) -> None:
    """A session of our own, no terminal, no folder, no environment, no descriptor of others."""
    with suppress(PermissionError):  # we lead one already
        os.setsid()
    os.closerange(_STANDARD + 1, os.sysconf("SC_OPEN_MAX"))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    try:
        out = os.open(log, flags, 0o600)
    except OSError:  # what is said there is for us alone
        out = os.open(os.devnull, os.O_WRONLY)
    for number in (1, _STANDARD):
        os.dup2(out, number)
    os.close(out)
    os.chdir("/")
    os.environ.clear()


def _bury_predecessor(family: int) -> int:
    """End what carries our marks although we have started nothing yet: its keeper is dead."""
    left = 0
    for _ in range(_ROUNDS):
        found = kill_family(family)
        if not found:
            break
        left += found
        time.sleep(_PAUSE)
    return left


def _hear_signals(keeper: Keeper) -> None:
    """SIGTERM ends everything; what a terminal sends is not for us."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, _nothing)  # the byte in the pipe is what counts
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)

    def heard() -> None:
        os.read(reader, 64)
        keeper.leave()

    keeper.loop.watch(reader, heard)


def _nothing(number: int, frame: FrameType | None) -> None:
    """A handler that only makes the signal be heard."""
