"""`atoll down`: end the daemon and everything it runs."""

import os
import select
import signal

import click
from msgspec import Struct

from atoll_supervisor.cli.codes import Exit, Failure
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import holding, places
from atoll_supervisor.cli.terminal import out, out_json
from atoll_supervisor.keeper.proc import stat_of
from atoll_supervisor.shell.lock import Holder


class Stopped(Struct, frozen=True):
    """What `--json` prints; `pid` is the daemon's, null when there was none."""

    stopped: bool
    pid: int | None


@click.command()
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for the end.")
@finds_daemon
def down(timeout: float) -> None:
    """Stop the daemon and its agents, and wait until they are gone."""
    running = holding()
    if running is None:
        _end_left_over(timeout)
        return
    if not running.pid:
        raise _not_known("a daemon holds it, and did not write down which process it is")
    _end(running, timeout)
    if given().json:
        out_json(Stopped(True, running.pid))
    else:
        out(f"stopped the daemon (pid {running.pid})")


def _end_left_over(timeout: float) -> None:
    """A daemon that was killed left its agents with the keeper: end them there."""
    # Late: it needs asyncio, which `atoll --help` does without.
    from atoll_supervisor.shell.keepers import end, lives  # noqa: PLC0415

    path = places().keeper
    if not lives(path):
        message = f"no daemon runs for {places().state}"
        raise Failure(message, Exit.NOT_RUNNING, "start it with: atoll up -d")
    if not end(path, timeout):
        message = f"the agents that a daemon had left are not gone after {timeout:g} s"
        raise Failure(message, Exit.TIMEOUT)
    if given().json:
        out_json(Stopped(True, None))
    else:
        out("no daemon was running; ended the agents that an earlier one had left")


def _end(running: Holder, timeout: float) -> None:
    """SIGTERM through a pidfd: a pid that was given anew meanwhile is never hit."""
    try:
        watched = os.pidfd_open(running.pid)
    except ProcessLookupError:
        _make_sure(running)
        return
    try:
        found = stat_of(running.pid)
        if found is None or found.start_time != running.start_time:
            _make_sure(running)
            return
        signal.pidfd_send_signal(watched, signal.SIGTERM)
        if not select.select([watched], [], [], timeout)[0]:
            message = f"the daemon (pid {running.pid}) still drains after {timeout:g} s"
            raise Failure(message, Exit.TIMEOUT, "its log says what it waits for")
    except ProcessLookupError:
        return
    finally:
        os.close(watched)


def _make_sure(running: Holder) -> None:
    """It ended by itself, if nobody holds the lock any more; raises Failure if somebody does."""
    if holding() is not None:
        raise _not_known(f"it is held, but not by the process {running.pid} that it names")


def _not_known(what: str) -> Failure:
    path = places().lock
    message = f"cannot tell which process to stop by {path}: {what}; nothing was stopped"
    return Failure(message, Exit.FAILED, f"find it with `fuser {path}`, and end it with SIGTERM")
