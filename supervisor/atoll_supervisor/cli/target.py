"""Which daemon a command means, and the way to it.

`--api-port` or ATOLL_API_PORT says where; else the lock of the state directory
knows the port of the daemon that holds it. The token comes from ATOLL_TOKEN or
the state directory's file, which only its owner can read.
"""

import os
from typing import TYPE_CHECKING, Literal

from atoll.config.places import Places, places_of
from atoll.errors import ConfigError
from atoll_supervisor.cli.options import given
from atoll_supervisor.shell.lock import Holder, holder
from atoll_supervisor.shell.token import read_token

if TYPE_CHECKING:
    from atoll_supervisor.cli.client import Management

DEFAULT_PORT = 8099
Verb = Literal["start", "stop", "restart"]


def places() -> Places:
    """The directories of the fleet that is meant."""
    return places_of(os.environ, os.geteuid(), given().state_dir)


def holding() -> Holder | None:
    """The daemon that runs for these places."""
    return holder(places().lock)


def api_url() -> str:
    """Where the management API should be."""
    return f"http://127.0.0.1:{_port()}"


def token() -> str:
    """The management token, or "" where there is none to be read."""
    if offered := os.environ.get("ATOLL_TOKEN"):
        return offered
    try:
        return read_token(places().token)
    except ConfigError:
        return ""


def connect() -> "Management":
    """A client of the daemon that is meant."""
    # Late: httpx takes longer to import than `atoll --help` takes altogether.
    from atoll_supervisor.cli.client import Address, Management  # noqa: PLC0415

    return Management(Address(api_url(), token()))


def _port() -> int:
    if port := given().api_port:
        return port
    named = os.environ.get("ATOLL_API_PORT", "")
    if named.isdecimal():
        return int(named)
    running = holding()
    return running.api_port if running else DEFAULT_PORT
