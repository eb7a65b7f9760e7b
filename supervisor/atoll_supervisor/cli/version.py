"""`atoll version`."""

import platform

import click
from msgspec import Struct

from atoll import __version__
from atoll_supervisor.cli.options import common, given
from atoll_supervisor.cli.terminal import out, out_json


class Versions(Struct, frozen=True):
    """What `--json` prints."""

    version: str
    python: str


@click.command()
@common
def version() -> None:
    """Print the version."""
    if given().json:
        out_json(Versions(__version__, platform.python_version()))
    else:
        out(f"atoll {__version__}")
