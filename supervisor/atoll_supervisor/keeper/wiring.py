"""The pipes and the channel of one try to start a process, and the mark it will carry."""

import os
import socket
from contextlib import ExitStack


class Wiring:
    """Both ends; made whole or not at all: raises OSError when descriptors run out."""

    def __init__(self, mark: int) -> None:
        self.mark = mark
        with ExitStack() as undo:
            self._out = _pipe(undo)
            self._err = _pipe(undo)
            self.channel, self._channel_end = socket.socketpair(
                socket.AF_UNIX, socket.SOCK_SEQPACKET
            )
            undo.pop_all()
        self.channel.setblocking(False)

    @property
    def passed(self) -> tuple[int, int, int]:
        """The process's ends of standard output, standard error and channel."""
        return self._out[1], self._err[1], self._channel_end.fileno()

    def targets(self, channel: int) -> dict[int, int]:
        """The numbers at which a process that we start ourselves gets them."""
        return dict(zip((1, 2, channel), self.passed, strict=True))

    @property
    def outputs(self) -> tuple[int, int]:
        """Our ends of standard output and standard error."""
        return self._out[0], self._err[0]

    def close_theirs(self) -> None:
        """The process has its ends; ours must see when it closes them."""
        os.close(self._out[1])
        os.close(self._err[1])
        self._channel_end.close()

    def close(self) -> None:
        """The process was never started."""
        self.close_theirs()
        self.channel.close()
        os.close(self._out[0])
        os.close(self._err[0])


def _pipe(undo: ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        undo.callback(os.close, end)
    return ends
