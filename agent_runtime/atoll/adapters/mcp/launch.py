"""Run a program that dies with the agent; a script of its own, without the rest of ATOLL.

    python -I -S launch.py AGENT_PID VARIABLES PROGRAM [ARGUMENT...]

VARIABLES are the names of those that PROGRAM gets, with commas between: Python
adds LC_CTYPE to its own environment (PEP 538). Not a `preexec_fn`, which runs in
a copy of the agent whose threads may hold any lock.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for SIGKILL when the agent dies, then become PROGRAM."""
    agent, names, program, *arguments = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != int(agent):
        sys.exit("the agent is gone")  # before the line above was heard
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and exec would pass that on
    wanted = names.split(",")
    environ = {name: value for name, value in os.environ.items() if name in wanted}
    try:
        os.execve(program, [program, *arguments], environ)  # noqa: S606  of the agent's manifest
    except OSError as error:
        sys.exit(f"{program} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main()
