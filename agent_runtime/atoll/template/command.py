"""The template's life: rehearse, freeze, prove that forking is safe, fork on request, end."""

import gc
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import NoReturn

from atoll.template.child import Prepared, become_agent
from atoll.template.fork import fork_marked
from atoll.template.packets import (
    Forked,
    Order,
    Ready,
    Refused,
    Request,
    Unreadable,
    close,
    receive,
    send,
)
from atoll.template.rehearsal import rehearse
from atoll.template.sibling import Siblings
from atoll.template.title import Title

CONTROL = 3
OK, FAILED = 0, 1
_KNOWN = {"0", "1", "2", str(CONTROL)}
_RUNTIME = ("-m", "atoll")


class Unsafe(Exception):
    """A fork of this process would not be a good agent."""


def main() -> int:
    """Serve the keeper at descriptor 3 until it closes the socket; 1 when that cannot begin."""
    # Ctrl-C is sent to the whole foreground group; the daemon is to stop things in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(CONTROL, False)
    control = socket.socket(fileno=CONTROL)
    try:
        prepared = _prepare()
    except Exception as error:  # noqa: BLE001  whatever it is, agents are executed instead
        send(control, Refused(error=f"the template cannot be made: {error!r}"))
        return FAILED
    try:
        send(control, Ready(pid=os.getpid(), modules=len(sys.modules)))
        _serve(control, prepared)
    except ConnectionError:
        return OK
    return OK


def _prepare() -> Prepared:
    """Load what agents share, and put it where no garbage collection writes to it."""
    gc.disable()
    prepared = Prepared(rehearse(), Title(), Siblings())
    gc.collect()
    gc.freeze()
    _check()
    return prepared


def _check() -> None:
    """Raise Unsafe for a second thread, or a descriptor that agents would share."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise Unsafe(f"it has {threads} threads")
    held = {path.name: _target(path) for path in Path("/proc/self/fd").iterdir()}
    strange = [where for number, where in held.items() if number not in _KNOWN and where]
    if strange:
        raise Unsafe(f"it holds {', '.join(strange)}")


def _target(path: Path) -> str:
    """What a descriptor is, "" when it was the look at the descriptors itself."""
    try:
        return str(path.readlink())
    except FileNotFoundError:
        return ""


def _serve(control: socket.socket, prepared: Prepared) -> None:
    while True:
        try:
            order = receive(control)
        except Unreadable as error:
            send(control, Refused(id=error.id, error=str(error)))
            continue
        if order is None:
            return
        answer = _answered(control, order, prepared)
        close(order.fds)
        send(control, answer)


def _answered(control: socket.socket, order: Order, prepared: Prepared) -> Forked | Refused:
    request = order.request
    try:
        _check_request(request)
        become = partial(_become, control, order, prepared)
        pid = fork_marked(request.mark, become, prepared.siblings)
    except (OSError, Unsafe) as error:
        return Refused(id=request.id, error=str(error))
    return Forked(id=request.id, pid=pid)


def _become(control: socket.socket, order: Order, prepared: Prepared, middle: int) -> NoReturn:
    control.detach()  # its number will be another socket's
    become_agent(order, middle, prepared)


def _check_request(request: Request) -> None:
    """What can be known beforehand is better told to the keeper than to a log."""
    if request.argv[:2] != _RUNTIME:
        raise Unsafe(f"only `python -m atoll` can be forked, not {' '.join(request.argv)!r}")
    if not Path(request.cwd).is_dir() or not os.access(request.cwd, os.X_OK):
        raise Unsafe(f"the folder {request.cwd} cannot be entered")
