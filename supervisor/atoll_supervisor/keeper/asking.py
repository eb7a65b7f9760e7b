"""The conversation with a template: requests out, answers in, and nobody waits.

The template says `{"ready": 1, "pid", "modules"}` first, or `{"error"}`. It is asked
`{"id", "argv", "env", "cwd", "mark", "name", "keeper"}` with the descriptors
standard output, standard error, channel and perhaps listening socket, and
answers `{"id", "pid"}` or `{"id", "error"}`.

A few requests are under way at a time; when none has been answered for
`PATIENCE` the template counts as hung.
"""

import json
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from atoll_supervisor.keeper.life import Lives
from atoll_supervisor.keeper.mark import mark_of
from atoll_supervisor.keeper.packets import is_object
from atoll_supervisor.keeper.tree import Pinned, pin

if TYPE_CHECKING:
    from atoll_supervisor.keeper.eventloop import Timer

PATIENCE = 2.0
_WINDOW = 8
"""Requests that are under way at a time: few enough for its socket, enough to keep it busy."""
_MOST_REFUSED = 3
"""Refusals in a row after which they are not the units' fault any more."""
_LAST_WORDS = 0.2
"""Seconds that a template which closed its socket has to end, which says more about why."""
_MAX_ANSWER = 65_536


class Request(NamedTuple):
    """What a template is asked, and with which descriptors."""

    body: dict[str, object]
    mark: int
    fds: list[int]


class Job(Protocol):
    """A launch that wants to be forked."""

    def ask(self) -> Request | None:
        """Called when its turn has come; None when there is nothing to ask any more."""
        ...

    def forked(self, pinned: Pinned) -> None:
        """Its process is there."""
        ...

    def refused(self, why: str) -> None:
        """No process of this template will come of it."""
        ...


class Listener(Protocol):
    """Who is told what became of a conversation."""

    def is_ready(self) -> None:
        """The template can fork."""
        ...

    def is_idle(self) -> None:
        """No request is left."""
        ...

    def is_broken(self, reason: str) -> None:
        """It cannot fork, or no longer; its jobs have been refused."""
        ...


class Asking:
    """Our end of a template's control socket."""

    def __init__(self, sock: socket.socket, lives: Lives, listener: Listener) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._lives = lives
        self._listener = listener
        self._jobs: deque[Job] = deque()
        self._under_way: dict[int, tuple[Job, Request]] = {}
        self._number = 0
        self._refused = 0
        self._timer: Timer | None = None
        lives.loop.watch(sock.fileno(), self._readable)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to be answered."""
        return not self._jobs and not self._under_way

    def submit(self, job: Job) -> None:
        """Have it forked; `job` is told what came of it."""
        self._jobs.append(job)
        self._ask()

    def give_up(self, reason: str) -> None:
        """Hear no more; what was asked is refused."""
        if self._close():
            jobs = [job for job, _ in self._under_way.values()] + list(self._jobs)
            self._lives.expected -= {request.mark for _, request in self._under_way.values()}
            self._under_way.clear()
            self._jobs.clear()
            for job in jobs:
                job.refused(reason)
            self._listener.is_broken(reason)

    def ended(self, reason: str) -> None:
        """The process is gone: hear what it still answered, then give up."""
        while packet := self._receive():
            self._take(_answer(packet))
        self.give_up(reason)

    def _ask(self) -> None:
        while self._jobs and len(self._under_way) < _WINDOW:
            job = self._jobs.popleft()
            if (request := job.ask()) is not None:
                self._send(job, request)

    def _send(self, job: Job, request: Request) -> None:
        self._number += 1
        body = {"id": self._number} | request.body
        packet = json.dumps(body, ensure_ascii=False).encode(errors="backslashreplace")
        self._lives.expected.add(request.mark)
        try:
            socket.send_fds(self._sock, [packet], request.fds)
        except OSError as error:  # too long, too many at a time, or nobody there
            self._lives.expected.discard(request.mark)
            job.refused(f"the template was not reached: {error.strerror}")
            return
        self._under_way[self._number] = (job, request)
        if self._timer is None:
            self._wait()

    def _wait(self) -> None:
        """Be patient anew while something is under way."""
        if self._timer is not None:
            self._timer.cancel()
        hung = f"the template did not answer for {PATIENCE:g} s"
        later = self._lives.loop.call_later
        self._timer = later(PATIENCE, lambda: self.give_up(hung)) if self._under_way else None

    def _readable(self) -> None:
        packet = self._receive()
        if packet:
            self._take(_answer(packet))
        elif packet is not None:
            self._lives.loop.unwatch(self._sock.fileno())
            closed = "the template closed its socket"
            self._lives.loop.call_later(_LAST_WORDS, lambda: self.give_up(closed))

    def _receive(self) -> bytes | None:
        """One packet; None when there is none now, b"" when there will be none."""
        try:
            return self._sock.recv(_MAX_ANSWER)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _take(self, answer: dict[str, object]) -> None:
        number, pid = answer.get("id"), answer.get("pid")
        if "ready" in answer:
            self._listener.is_ready()
        elif isinstance(number, int) and number in self._under_way:
            job, request = self._under_way.pop(number)
            self._lives.expected.discard(request.mark)
            self._settle(job, request, pid if isinstance(pid, int) else 0, answer.get("error"))
            self._wait()
            self._ask()
            if self.idle:
                self._listener.is_idle()
        elif "error" in answer and not number:
            self.give_up(str(answer["error"]))

    def _settle(self, job: Job, request: Request, pid: int, error: object) -> None:
        """Check that the pid is our child with its mark; it may be a zombie already."""
        pinned = pin(pid, os.getpid()) if pid > 0 and pid not in self._lives.pids else None
        if pinned is not None and mark_of(pid) in (request.mark, 0):
            self._refused = 0
            job.forked(pinned)
            return
        if pinned is not None:
            os.close(pinned.fd)
        job.refused(str(error or "the template told a wrong pid"))
        self._refused += 1
        if self._refused >= _MOST_REFUSED:
            self.give_up(f"the template refused {self._refused} times in a row: {error}")

    def _close(self) -> bool:
        """Close the socket, which ends the template; False when it is closed already."""
        if self._timer is not None:
            self._timer.cancel()
        fd = self._sock.fileno()
        if fd >= 0:
            self._lives.loop.unwatch(fd)
            self._sock.close()
        return fd >= 0


def _answer(packet: bytes) -> dict[str, object]:
    """The packet as an object; an empty one when it is none, which is no answer to anything."""
    try:
        found: object = json.loads(packet)
    except (ValueError, RecursionError):
        return {}
    return found if is_object(found) else {}
