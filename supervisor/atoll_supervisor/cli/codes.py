"""Exit codes: stable, few, and printed by `atoll help exit-codes`."""

from enum import IntEnum


class Exit(IntEnum):
    """What a shell script can tell apart; 3 is LSB's code for a status of not running."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_RUNNING = 3
    NO_SUCH_AGENT = 4
    CONFIG = 5
    AUTH = 6
    TIMEOUT = 7
    PARTIAL = 8
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.OK: "done",
    Exit.FAILED: "failed",
    Exit.USAGE: "wrong use of the command line",
    Exit.NOT_RUNNING: "no daemon is running",
    Exit.NO_SUCH_AGENT: "no agent of this name",
    Exit.CONFIG: "a configuration file is wrong",
    Exit.AUTH: "the daemon wants another token",
    Exit.TIMEOUT: "not done within the time limit",
    Exit.PARTIAL: "done for some of the agents only",
    Exit.INTERRUPTED: "interrupted with Ctrl-C",
}


class Failure(Exception):
    """A command that ends with `exit`: what went wrong, and the line that mends it."""

    def __init__(self, message: str, exit: Exit = Exit.FAILED, hint: str = "") -> None:
        super().__init__(message)
        self.exit = exit
        self.hint = hint


def joint(exits: list[Exit]) -> Exit:
    """The exit code of one command over many agents."""
    kinds = set(exits)
    if len(kinds) > 1:
        return Exit.PARTIAL
    return kinds.pop() if kinds else Exit.OK
