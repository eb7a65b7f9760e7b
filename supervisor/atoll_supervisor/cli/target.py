"""Which daemon a command means, and the way to it.

`--api-port` or ATOLL_API_PORT says where; else the lock of the state directory
knows the port of the daemon that holds it; else the settings' files and
defaults. The token comes from ATOLL_TOKEN or the state directory's file, which
only its owner can read.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from atoll.config.loopback import url_of
from atoll.config.places import Places, places_of
from atoll.errors import ConfigError
from atoll_supervisor.cli.codes import Exit, Failure
from atoll_supervisor.cli.options import given
from atoll_supervisor.settings import Settings, read_settings
from atoll_supervisor.shell.lock import Holder, holder
from atoll_supervisor.shell.token import read_token

if TYPE_CHECKING:
    from atoll_supervisor.cli.client import Management

Verb = Literal["start", "stop", "restart"]


def settings(**flags: object) -> Settings:
    """The settings with the options of this command line; raises ConfigError."""
    common = {"state_dir": given().state_dir, "api_port": given().api_port}
    named = {name: flag for name, flag in (common | flags).items() if flag is not None}
    return read_settings(named, os.environ, Path.cwd(), Path.home())


def places() -> Places:
    """The directories of the fleet that is meant."""
    return places_of(os.environ, os.geteuid(), settings().state_dir)


def holding() -> Holder | None:
    """The daemon that runs for these places; its pid is 0 where nobody wrote down who it is."""
    return holder(places().lock)


def agents_go_on() -> bool:
    """Whether a keeper has agents, and no daemon that looks after them."""
    # Late: it needs asyncio, which `atoll --help` does without.
    from atoll_supervisor.shell.keepers import lives  # noqa: PLC0415

    return holding() is None and lives(places().keeper)


def left_alone(url: str) -> Failure:
    """The failure of a command that needs the daemon, while only its agents are there."""
    message = f"no daemon answers at {url}, but its agents go on running"
    return Failure(message, Exit.NOT_RUNNING, "get the daemon back with: atoll up -d")


def api_url() -> str:
    """Where the management API should be."""
    found = settings()
    running = None if _was_named(found) else holding()
    return url_of(found.host, running.api_port if running and running.api_port else found.api_port)


def token() -> str:
    """The management token, or "" where there is none to be read."""
    if offered := os.environ.get("ATOLL_TOKEN"):
        return offered
    try:
        return read_token(places().token)
    except ConfigError:
        return ""


def connect() -> "Management":
    """A client of the daemon that is meant; raises Failure when that has died and left its agents.

    Its port is held, so that a client would wait there for the next one.
    """
    if not _origin(settings()).startswith("--") and agents_go_on():
        raise left_alone(api_url())
    # Late: httpx takes longer to import than `atoll --help` takes altogether.
    from atoll_supervisor.cli.client import Address, Management  # noqa: PLC0415

    return Management(Address(api_url(), token()))


def _was_named(found: Settings) -> bool:
    """Whether a person said this port now; a file's may be another daemon's or older."""
    return _origin(found).startswith(("--", "ATOLL_"))


def _origin(found: Settings) -> str:
    """Where the port comes from: a flag, a variable, a file, or "" for the default."""
    return found.origins.get("api_port", "")
