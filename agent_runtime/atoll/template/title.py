"""What `ps` and `top` show of a process that was forked and not exec'ed.

`/proc/PID/cmdline` shows the memory between two addresses of the stack, which
the kernel filled at exec. A title that ends behind the arguments, in the
environment, is shown up to its first NUL (proc_pid_cmdline(5); setproctitle(3)
of the BSDs). The environment's strings are there for nobody once the process
has replaced its environment.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path

PR_SET_NAME = 15
"""prctl(2): the name of this thread, at most 15 bytes."""
_AREA = slice(45, 49)
"""Fields 48 to 51 of proc_pid_stat(5); the first behind the name is field 3."""


class Title:
    """Where this process and all its forks show their title."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, arg_end, env_start, env_end = (int(field) for field in fields[_AREA])
        self._start, self._old = start, arg_end - start
        self._room = (env_end if env_start == arg_end else arg_end) - start

    def show(self, arguments: Sequence[str], name: str) -> None:
        """Show `arguments` as the command line, and `name` as the name, as far as they fit.

        The environment must have been replaced before.
        """
        self._libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)
        if not self._start:  # a kernel that does not tell
            return
        title = " ".join(arguments).encode(errors="surrogateescape")[: self._room - 1]
        # What is left of longer old arguments would show up behind it.
        shown = title.ljust(self._old, b"\0") if len(title) < self._old else title + b"\0"
        ctypes.memmove(self._start, shown, len(shown))
