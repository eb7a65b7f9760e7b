"""From the fork to the agent: a process that is as if it had been started by exec.

Nothing here returns: an exception that got back into the template's loop would
make a second template.
"""

import gc
import os
import signal
import sys
import time
import traceback
from fcntl import F_DUPFD_CLOEXEC, fcntl
from typing import NamedTuple, NoReturn

from litestar import Litestar

from atoll import cli
from atoll.adapters.parent import die_with_parent
from atoll.template.packets import Order, Request
from atoll.template.sibling import Siblings
from atoll.template.title import Title

STDERR, LISTEN, CHANNEL = 2, 3, 4
FAILED = 1
_ABOVE = 16
"""Descriptors are copied up here first, so that no source is also a target."""
_LOOK = 0.0002
"""Seconds between two looks at who our parent is; the process between ends at once."""


class Prepared(NamedTuple):
    """What was made before the fork, for all agents."""

    routes: Litestar
    title: Title
    siblings: Siblings


def become_agent(order: Order, middle: int, prepared: Prepared) -> NoReturn:
    """Be the process that was ordered, until its end; `middle` is a parent that will leave us."""
    code = FAILED
    try:
        os.setsid()
        _hold(order)
        _obey()
        _take_over(order.request, prepared.title)
        if _is_kept(order.request.keeper, middle):
            gc.enable()
            code = cli.main(order.request.argv[2:], prepared.routes)
    except SystemExit as leaving:  # argparse
        code = leaving.code if isinstance(leaving.code, int) else FAILED
    except OSError as error:
        sys.stderr.write(f"the agent cannot begin: {error}\n")
    except BaseException:  # noqa: BLE001  nothing may get back into the template
        traceback.print_exc()
    finally:
        _leave(code)


def _hold(order: Order) -> None:
    """Hold exactly the descriptors 0 to 4, without 3 where nothing is listened on."""
    given = order.descriptors
    targets = {0: os.open(os.devnull, os.O_RDONLY), 1: given.out, STDERR: given.err}
    targets[CHANNEL] = given.channel
    if given.listen is not None:
        targets[LISTEN] = given.listen
    high = {target: fcntl(fd, F_DUPFD_CLOEXEC, _ABOVE) for target, fd in targets.items()}
    os.closerange(LISTEN, _ABOVE)
    for target, fd in high.items():
        os.dup2(fd, target, inheritable=target <= STDERR)
    os.closerange(CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))


def _obey() -> None:
    """Take signals as a fresh program does: the template differs from one in SIGINT alone.

    Python's own handler would make asyncio put its own there first, and then
    write out the whole task for nothing: 0.2 MiB of every agent.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _take_over(request: Request, title: Title) -> None:
    """The environment, the folder, the arguments and the name of the new process."""
    os.environ.clear()
    os.environ.update(request.env)
    time.tzset()
    os.chdir(request.cwd)
    sys.argv = [sys.argv[0], *request.argv[2:]]
    if not sys.flags.safe_path:
        sys.path[0] = request.cwd  # where `python -m` looks first
    title.show([sys.executable, *request.argv], request.name)


def _is_kept(keeper: int, middle: int) -> bool:
    """Wait until the process between is gone; False when the keeper is, too.

    Asked for again after the death signal was armed: a keeper that went before
    is not announced any more.
    """
    while os.getppid() == middle:
        time.sleep(_LOOK)
    die_with_parent()
    return os.getppid() == keeper


def _leave(code: int) -> NoReturn:
    """End without the interpreter's own end, which would touch all that is shared.

    A pipe whose reader is gone takes no last words; that changes no exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(code)
