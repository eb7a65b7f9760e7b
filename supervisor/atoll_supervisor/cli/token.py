"""`atoll token show`: the management token, for other programs."""

import os

import click
from msgspec import Struct

from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import places
from atoll_supervisor.cli.terminal import out, out_json
from atoll_supervisor.shell.token import read_token


class Shown(Struct, frozen=True):
    """What `--json` prints; `path` is null when the token came from ATOLL_TOKEN."""

    token: str
    path: str | None


@click.group()
def token() -> None:
    """The management token."""


@token.command("show")
@finds_daemon
def show_token() -> None:
    """Print the token; send it as `Authorization: Bearer ...`."""
    shown = _shown()
    if given().json:
        out_json(shown)
    else:
        out(shown.token)


def _shown() -> Shown:
    if offered := os.environ.get("ATOLL_TOKEN"):
        return Shown(offered, None)
    path = places().token
    return Shown(read_token(path), str(path))
